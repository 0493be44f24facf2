"""Texts about strangers at gateways.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "strangers.title": ("Strangers", "陌生设备"),
    "strangers.lead": (
        "Whom gateways refused. They got nothing; attempts are counted since the gateway started.",
        "被网关拒绝的设备。它们未获得任何数据；次数自网关启动起计。",
    ),
    "strangers.kind": ("What", "类型"),
    "strangers.gateway": ("Gateway", "网关"),
    "strangers.key_id": ("Key id", "密钥标识"),
    "strangers.node": ("Node", "节点"),
    "strangers.peer": ("From", "来源地址"),
    "strangers.attempts": ("Attempts", "次数"),
    "strangers.first": ("First", "首次"),
    "strangers.last": ("Last", "最近"),
    "strangers.empty": ("Nobody was refused", "没有设备被拒绝"),
    "strangers.empty_hint": (
        "Unknown nodes, nodes of other gateways and wrong keys appear here.",
        "未知节点、其他网关的节点和错误密钥会显示在这里。",
    ),
    "stranger.unknown_node": ("Unknown node", "未知节点"),
    "stranger.foreign_node": ("Node that the gateway does not serve", "不属于该网关的节点"),
    "stranger.wrong_key": ("Wrong key", "密钥错误"),
}  # fmt: skip
