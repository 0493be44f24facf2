"""Texts about the keys that sign, the trust documents that name them, and components of releases.

Not the releases themselves (updates.py).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "keys.title": ("Keys and trust", "密钥与信任"),
    "keys.lead": (
        "Who may sign what. Nodes and gateways follow the newest trust document and believe "
        "nobody else, the fleet included.",
        "规定谁可以签署什么。节点和网关只信任最新的信任文件所列的密钥，对平台也不例外。",
    ),
    "keys.key": ("Key", "密钥"),
    "keys.name": ("Name", "名称"),
    "keys.since": ("Since", "起始时间"),
    "keys.trusted": ("Trusted since", "信任时间"),
    "keys.state": ("State", "状态"),
    "keys.signed": ("Signed", "已签署版本"),
    "keys.counts": ("counts", "有效"),
    "keys.revoked": ("revoked by {name}", "已由 {name} 吊销"),
    "keys.revoke": ("Revoke", "吊销"),
    "keys.revoke_ask": (
        "Revoke key {key}? The fleet and its gateways refuse it from then on, for ever. A second "
        "person has to agree.",
        "确定吊销密钥 {key}？此后平台和网关将永久拒绝它。须由另一人批准。",
    ),
    "keys.document": ("trust document {number}", "信任文件 {number}"),
    "keys.document_title": ("Trust document {number}", "信任文件 {number}"),
    "keys.no_document": ("There is no trust document yet", "还没有信任文件"),
    "keys.no_document_hint": (
        "Each trusted key signs releases alone, and keys of nodes cannot be changed. Make and "
        "publish the first document:",
        "目前每个受信任的密钥均可单独签署版本，且节点上的密钥无法更换。请创建并发布第一份信任文件：",
    ),
    "keys.digest": ("Digest", "摘要"),
    "keys.published": ("Published", "发布时间"),
    "keys.expires": ("Expires", "到期时间"),
    "keys.in_days": ("in {days} days", "{days} 天后"),
    "keys.due": (
        "Trust document {number} expires in {days} days. After that nothing is installed any "
        "more. Have the holders of the root keys sign the next one:",
        "信任文件 {number} 将在 {days} 天后到期，届时无法再安装任何版本。"
        "请根密钥持有人签署下一份：",
    ),
    "keys.expired": (
        "Trust document {number} has expired: no gateway serves and no node installs anything. "
        "Publish the next one:",
        "信任文件 {number} 已到期：网关不再提供、节点不再安装任何版本。请发布下一份：",
    ),
    "keys.empty": ("No key is trusted", "没有受信任的密钥"),
    "role_keys.release": ("Release keys", "发布密钥"),
    "role_keys.release_needed": (
        "{threshold} of {count} sign a release", "{count} 个密钥中须有 {threshold} 个签署版本",
    ),
    "role_keys.directive": ("Directive keys", "指令密钥"),
    "role_keys.directive_needed": (
        "{threshold} of {count} sign what a node shall install",
        "{count} 个密钥中须有 {threshold} 个签署节点的安装指令",
    ),
    "role_keys.directive_none": (
        "No document names one: nodes install without directives",
        "信任文件未列出：节点安装时不要求指令",
    ),
    "role_keys.root": ("Root keys", "根密钥"),
    "role_keys.root_needed": (
        "{threshold} of {count} sign the next document",
        "{count} 个密钥中须有 {threshold} 个签署下一份文件",
    ),
    "directive_key.signs": ("signs now", "正在签署"),
    "directive_key.waits": ("named, waits", "已列出，待用"),
    "directive_key.unnamed": ("no document names it", "信任文件未列出"),
    "directive_key.foreign": ("not of this fleet", "不属于本平台"),
    "components.title": ("Components", "软件组件"),
    "components.lead": (
        "Which nodes run a component in a version below another one.",
        "查询运行某组件较低版本的节点。",
    ),
    "components.component": ("Component", "组件"),
    "components.below": ("Below version", "低于版本"),
    "components.find": ("Find", "查询"),
    "components.found": (
        "{count} nodes run {component} below {below}.",
        "{count} 个节点运行低于 {below} 的 {component}。",
    ),
    "components.first": ("These are the first {count}.", "以下为前 {count} 个。"),
    "components.node": ("Node", "节点"),
    "components.pole": ("Pole", "灯杆"),
}  # fmt: skip
