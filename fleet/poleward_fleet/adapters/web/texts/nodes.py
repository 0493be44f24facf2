"""Texts about the lives of nodes and the steps in them.

Not the choice of a language (the package); words for states are in poles.py.
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "node.title": ("Node {number}", "节点 {number}"),
    "node.manage": ("Manage", "管理"),
    "node.mac": ("MAC", "MAC 地址"),
    "node.pole": ("Pole", "灯杆"),
    "node.since": ("Since", "起始时间"),
    "node.reason": ("Reason", "原因"),
    "node.move": ("Move", "迁移"),
    "node.move_hint": (
        "Another gateway serves the node from now on; the present one hands it over.",
        "改由另一网关服务此节点，由当前网关移交。",
    ),
    "node.move_ask": ("Move this node to the chosen gateway?", "将此节点迁移到所选网关？"),
    "node.swap": ("Swap", "更换"),
    "node.swap_hint": (
        "Another node takes its place in {pole}. The pole keeps its history and its program; the "
        "keys of this node die.",
        "由新节点接替 {pole}。灯杆保留历史数据和照明方案；旧节点的密钥失效。",
    ),
    "node.swap_ask": ("Swap the node in {pole}?", "更换 {pole} 的节点？"),
    "node.new_mac": ("MAC of the new node", "新节点的 MAC 地址"),
    "node.claim_code": ("Claim code on its label", "标签上的认领码"),
    "node.rotate": ("Change keys", "更换密钥"),
    "node.rotate_hint": (
        "The node gets other operational keys without a visit.",
        "无需到场，为节点更换运行密钥。",
    ),
    "node.rotate_ask": ("Give node {number} other keys?", "为节点 {number} 更换密钥？"),
    "node.release": ("Release", "解除"),
    "node.release_hint": (
        "Out of quarantine it works again with fresh keys; out of a pole it goes back into stock.",
        "解除隔离后以新密钥恢复工作；不在灯杆中的节点回到库存。",
    ),
    "node.release_ask": ("Release node {number}?", "解除节点 {number}？"),
    "node.quarantine": ("Quarantine", "隔离"),
    "node.quarantine_hint": (
        "Its keys die at once. The lamp runs alone until somebody releases the node.",
        "密钥立即失效。解除隔离之前，灯具独立运行。",
    ),
    "node.quarantine_ask": ("Quarantine node {number}?", "隔离节点 {number}？"),
    "node.lose": ("Report lost", "报失"),
    "node.lose_hint": (
        "It leaves its pole, and forgets its keys when it is heard again.",
        "节点离开灯杆；再次通信时将清除其密钥。",
    ),
    "node.lose_ask": ("Report node {number} lost?", "将节点 {number} 报失？"),
    "node.decommission": ("Decommission", "退役"),
    "node.decommission_hint": (
        "It leaves its pole for ever. More than ten in a day need a second person.",
        "节点永久离开灯杆。一天超过十个需第二人批准。",
    ),
    "node.decommission_ask": (
        "Decommission node {number} for ever?",
        "将节点 {number} 永久退役？",
    ),
}  # fmt: skip
