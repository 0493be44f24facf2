"""Texts about gateways.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "gateways.title": ("Gateways", "网关"),
    "gateways.connected": ("connected", "已连接"),
    "gateways.disconnected": ("away", "未连接"),
    "gateways.name": ("Gateway", "网关"),
    "gateways.state": ("State", "状态"),
    "gateways.area": ("Area", "区域"),
    "gateways.nodes": ("Nodes", "节点数"),
    "gateways.version": ("Version", "版本"),
    "gateways.heard": ("Last heard", "最近通信"),
    "gateways.certificate": ("Certificate until", "证书有效期至"),
    "gateways.no_updates": (
        "No rollout has been for this gateway yet.",
        "尚无针对此网关的升级任务。",
    ),
    "gateways.empty": ("No gateway has enrolled", "还没有网关入网"),
    "gateways.empty_hint": (
        "Make a one-time token and enrol one from the machine it runs on:",
        "请先生成一次性令牌，再在网关所在机器上执行入网：",
    ),
}  # fmt: skip
