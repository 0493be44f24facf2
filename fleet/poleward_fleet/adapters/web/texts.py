"""Every text that a person reads on a page, in English and Chinese, and the choice between them.

Not the names of metrics; those are in domain/metrics.py.
"""

from enum import Enum


class Language(Enum):
    """A language that the pages speak; the value is its BCP 47 tag."""

    EN = "en"
    ZH = "zh-CN"


# key -> (English, Chinese). Keys that begin with "js." go to the browser's modules.
TEXTS: dict[str, tuple[str, str]] = {
    "app.skip": ("Skip to content", "跳到正文"),
    "app.nav": ("Sections", "栏目"),
    "app.logout": ("Sign out", "退出登录"),
    "app.account": ("Account", "账户"),
    "app.theme": ("Dark or light", "深色或浅色"),
    "app.language": ("中文", "English"),
    "app.as_of": ("as of", "数据时间"),
    "app.everywhere": ("All areas", "全部区域"),
    "app.cancel": ("Cancel", "取消"),
    "app.never": ("never", "从未"),
    "nav.map": ("Map", "地图"),
    "nav.gateways": ("Gateways", "网关"),
    "nav.releases": ("Releases", "发布版本"),
    "nav.rollouts": ("Rollouts", "升级任务"),
    "nav.audit": ("Audit", "审计"),
    "login.title": ("Sign in", "登录"),
    "login.name": ("User", "用户名"),
    "login.password": ("Password", "密码"),
    "login.submit": ("Sign in", "登录"),
    "login.wrong": (
        "User name or password is wrong. Check both and try again.",
        "用户名或密码不正确，请检查后重试。",
    ),
    "login.too_many": (
        "Too many failed attempts. Try again in {seconds} s.",
        "失败次数过多，请在 {seconds} 秒后重试。",
    ),
    "login.form_expired": (
        "This form was too old. Please sign in again.",
        "页面已过期，请重新登录。",
    ),
    "login.ended": ("Your session has ended. Sign in to go on.", "会话已结束，请重新登录。"),
    "map.title": ("Poles", "灯杆"),
    "map.label": (
        "Map of poles. Arrow keys move it, plus and minus zoom; the list beside it reaches all.",
        "灯杆地图。方向键移动，加减键缩放；旁边的列表可以选中每一根灯杆。",
    ),
    "map.online_rate": ("Online", "在线率"),
    "map.lit_rate": ("Lit", "亮灯率"),
    "map.online_of": ("nodes heard", "节点在线"),
    "map.lit_of": ("lamps lit", "灯具点亮"),
    "map.search": ("Find a pole by its code", "按编号查找灯杆"),
    "map.area": ("Area", "区域"),
    "map.states": ("State", "状态"),
    "map.attention": ("Needs a look", "需要关注"),
    "map.results": ("Found", "查找结果"),
    "map.loading": ("Loading poles…", "正在加载灯杆…"),
    "map.failed": ("The poles could not be loaded.", "灯杆加载失败。"),
    "map.retry": ("Try again", "重试"),
    "map.empty": ("No poles yet", "还没有灯杆"),
    "map.empty_hint": (
        "Poles appear here as soon as they are imported. Try it with ten of them on this machine:",
        "灯杆导入后会显示在这里。可以先在本机用十根灯杆试一试：",
    ),
    "map.fit": ("Show all", "显示全部"),
    "map.details": ("Open pole", "查看灯杆"),
    "map.close": ("Close", "关闭"),
    "status.lit": ("Lit", "亮灯"),
    "status.dark": ("Dark", "熄灯"),
    "status.fault": ("Lamp fault", "灯具故障"),
    "status.silent": ("Silent", "失联"),
    "status.offline": ("Offline", "离线"),
    "status.waiting": ("Not heard yet", "等待上线"),
    "status.no_node": ("No node", "无节点"),
    "pole.lamp": ("Lamp", "灯具"),
    "pole.level": ("Level", "亮度"),
    "pole.power": ("Power", "功率"),
    "pole.off": ("Off", "关"),
    "pole.duration": ("Hold for", "保持"),
    "pole.until_next": ("until the next command", "直到下一条命令"),
    "pole.minutes": ("{count} min", "{count} 分钟"),
    "pole.hours": ("{count} h", "{count} 小时"),
    "pole.days": ("{count} d", "{count} 天"),
    "pole.set": ("Set lamp", "下发调光"),
    "pole.may_not": (
        "Your role may look but not command lamps.",
        "您的角色可以查看，但不能控制灯具。",
    ),
    "pole.no_node": (
        "No node stands in this pole, so its lamp cannot be commanded.",
        "此灯杆没有节点，无法控制灯具。",
    ),
    "pole.values": ("Latest values", "最新数据"),
    "pole.empty": ("No node stands in this pole.", "此灯杆没有节点。"),
    "pole.no_values": ("The node has not reported yet.", "节点尚未上报数据。"),
    "pole.history": ("History", "历史曲线"),
    "pole.range": ("Time range", "时间范围"),
    "pole.node": ("Node", "节点"),
    "pole.number": ("Number", "编号"),
    "pole.endpoint": ("Endpoint", "端点名称"),
    "pole.life": ("Life", "生命周期"),
    "pole.link": ("Link", "链路"),
    "pole.heard": ("Last heard", "最近通信"),
    "pole.gateway": ("Gateway", "网关"),
    "pole.version": ("Version", "软件版本"),
    "pole.boots": ("Boots", "启动次数"),
    "pole.place": ("Place", "位置"),
    "pole.nominal": ("Nominal power", "额定功率"),
    "pole.equipment": ("Equipment", "挂载设备"),
    "pole.events": ("Events", "事件"),
    "pole.no_events": ("Nothing has happened here yet.", "暂无事件。"),
    "equipment.lamp": ("lamp", "路灯"),
    "equipment.air": ("air sensors", "环境传感器"),
    "equipment.sos": ("emergency call", "应急求助"),
    "equipment.camera": ("camera", "摄像机"),
    "equipment.traffic": ("traffic counter", "交通检测"),
    "equipment.display": ("display", "信息屏"),
    "equipment.charger": ("charger", "充电桩"),
    "event.node.rebooted": ("Node started", "节点启动"),
    "event.reports.gap": ("Reports missing", "上报缺失"),
    "event.lamp.failed": ("Lamp failed", "灯具故障"),
    "event_detail.first": ("first", "起始序号"),
    "event_detail.last": ("last", "结束序号"),
    "event_detail.reason": ("reason", "原因"),
    "event_detail.power_w": ("power (W)", "功率（W）"),
    "event_detail.expected_w": ("expected (W)", "预期功率（W）"),
    "event_word.power_on": ("after power came on", "上电启动"),
    "event_word.power_cut": ("after a power cut", "断电后恢复"),
    "event_word.reset": ("after a reset", "复位启动"),
    "event_word.watchdog": ("the watchdog had to reset it", "看门狗复位"),
    "device.manufacturer": ("Manufacturer", "制造商"),
    "device.model": ("Model", "型号"),
    "device.serial_number": ("Serial number", "序列号"),
    "device.hardware_version": ("Hardware", "硬件版本"),
    "device.on_trial": ("On trial", "试运行"),
    "device.last_failure": ("Last failure", "上次失败"),
    "life.manufactured": ("manufactured", "已出厂"),
    "life.claimed": ("claimed", "已认领"),
    "life.commissioned": ("commissioned", "已调试"),
    "life.in_service": ("in service", "运行中"),
    "life.quarantined": ("quarantined", "已隔离"),
    "life.swapped_out": ("swapped out", "已更换"),
    "life.lost": ("lost", "已丢失"),
    "life.decommissioned": ("decommissioned", "已退役"),
    "link.unknown": ("unknown", "未知"),
    "link.bootstrapped": ("bootstrapped", "已引导"),
    "link.online": ("online", "在线"),
    "link.silent": ("silent", "失联"),
    "link.offline": ("offline", "离线"),
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
    "gateways.empty": ("No gateway has enrolled", "还没有网关入网"),
    "gateways.empty_hint": (
        "Make a one-time token and enrol one from the machine it runs on:",
        "请先生成一次性令牌，再在网关所在机器上执行入网：",
    ),
    "releases.title": ("Releases", "发布版本"),
    "releases.version": ("Version", "版本"),
    "releases.sequence": ("Sequence", "序号"),
    "releases.profile": ("Board profile", "硬件型号"),
    "releases.size": ("Bundle", "大小"),
    "releases.published": ("Published", "发布时间"),
    "releases.notes": ("Notes", "说明"),
    "releases.digest": ("Envelope digest", "摘要"),
    "releases.verified": (
        "Each of them carries a signature that a trusted release key made.",
        "以下版本均已通过受信任密钥的签名验证。",
    ),
    "releases.roll_out": ("Roll out", "开始升级"),
    "releases.empty": ("No release is published", "还没有发布版本"),
    "releases.empty_hint": (
        "Build, sign and publish one; a signature that does not verify is refused.",
        "请构建、签名并发布；签名验证不通过的版本会被拒绝。",
    ),
    "rollouts.title": ("Rollouts", "升级任务"),
    "rollouts.new": ("New rollout", "新建任务"),
    "rollouts.empty": ("No rollout yet", "还没有升级任务"),
    "rollouts.empty_hint": (
        "A rollout brings a published release to the nodes of an area and stops by itself when "
        "too many of them fail.",
        "升级任务把已发布的版本下发到某个区域的节点，失败过多时会自动停止。",
    ),
    "rollouts.rollout": ("Rollout", "升级任务"),
    "rollouts.release": ("Release", "版本"),
    "rollouts.area": ("Area", "区域"),
    "rollouts.state": ("State", "状态"),
    "rollouts.progress": ("Progress", "进度"),
    "rollouts.created": ("Started", "开始时间"),
    "rollouts.by": ("by", "创建人"),
    "rollouts.concurrency": ("Nodes under way at once", "同时升级的节点数"),
    "rollouts.max_failures": ("Stops at failures", "失败停止阈值"),
    "rollouts.max_failures_hint": (
        "Failed, rejected, returned and timed-out nodes count.",
        "失败、拒绝、回退和超时的节点都计入。",
    ),
    "rollouts.start": ("Start rollout", "开始升级"),
    "rollouts.no_releases": (
        "Publish a release first; then it can be rolled out.",
        "请先发布一个版本，再创建升级任务。",
    ),
    "rollouts.pause": ("Pause", "暂停"),
    "rollouts.resume": ("Resume", "继续"),
    "rollouts.abort": ("Abort", "中止"),
    "rollouts.abort_ask": (
        "Abort this rollout? Nodes that run the release keep it; it cannot be resumed.",
        "确定中止？已升级的节点保持新版本，任务不能再恢复。",
    ),
    "rollouts.confirmed_of": ("{done} of {all} nodes confirmed", "{done} / {all} 个节点已确认"),
    "rollouts.nodes": ("Nodes", "节点"),
    "rollouts.pole": ("Pole", "灯杆"),
    "rollouts.reason": ("Reason", "原因"),
    "rollouts.since": ("Since", "起始时间"),
    "rollouts.more": ("{count} more nodes are not listed.", "另有 {count} 个节点未列出。"),
    "rollout.running": ("running", "进行中"),
    "rollout.paused": ("paused", "已暂停"),
    "rollout.stopped": ("stopped by itself", "自动停止"),
    "rollout.aborted": ("aborted", "已中止"),
    "rollout.finished": ("finished", "已完成"),
    "stage.queued": ("queued", "排队"),
    "stage.offered": ("offered", "已下发"),
    "stage.downloading": ("downloading", "下载中"),
    "stage.downloaded": ("downloaded", "已下载"),
    "stage.trial": ("on trial", "试运行"),
    "stage.confirmed": ("confirmed", "已确认"),
    "stage.failed": ("failed", "失败"),
    "stage.rejected": ("rejected", "已拒绝"),
    "stage.returned": ("returned", "已回退"),
    "stage.timed_out": ("timed out", "超时"),
    "stage.cancelled": ("cancelled", "已取消"),
    "audit.title": ("Audit", "审计"),
    "audit.lead": (
        "Who changed what, newest first. Each record is chained to the one before.",
        "谁在何时修改了什么，按时间倒序；每条记录与前一条相链接。",
    ),
    "audit.number": ("No.", "序号"),
    "audit.at": ("When", "时间"),
    "audit.actor": ("Who", "操作人"),
    "audit.action": ("What", "操作"),
    "audit.subject": ("To what", "对象"),
    "audit.detail": ("Details", "详情"),
    "audit.older": ("Older", "更早"),
    "action.account.put": ("account saved", "保存账户"),
    "action.account.drop": ("account removed", "删除账户"),
    "action.api_token.revoke": ("API tokens revoked", "吊销 API 令牌"),
    "action.api_token.create": ("API token made", "生成 API 令牌"),
    "action.area.put": ("areas saved", "保存区域"),
    "action.gateway.enrolled": ("gateway enrolled", "网关入网"),
    "action.gateway.renewed": ("certificate renewed", "网关证书续期"),
    "action.gateway.enrollment_token": ("enrolment token made", "生成入网令牌"),
    "action.lamp.set": ("lamp dimmed", "调光"),
    "action.login": ("signed in", "登录"),
    "action.login.failed": ("sign-in failed", "登录失败"),
    "action.node.commission": ("node commissioned", "节点调试"),
    "action.node.import": ("nodes imported", "导入节点"),
    "action.pole.import": ("poles imported", "导入灯杆"),
    "action.release.publish": ("release published", "发布版本"),
    "action.release.refused": ("release refused", "拒绝版本"),
    "action.release_key.trust": ("release key trusted", "信任签名密钥"),
    "action.rollout.create": ("rollout started", "创建升级任务"),
    "action.rollout.running": ("rollout resumed", "恢复升级任务"),
    "action.rollout.paused": ("rollout paused", "暂停升级任务"),
    "action.rollout.aborted": ("rollout aborted", "中止升级任务"),
    "audit.empty": ("No change is recorded yet", "暂无审计记录"),
    "error.title": ("That did not work", "操作未完成"),
    "error.404": ("Not found", "未找到"),
    "error.403": ("Not allowed", "无权限"),
    "error.409": ("Conflict", "冲突"),
    "error.400": ("Not possible like this", "请求无效"),
    "error.429": ("Too many attempts", "尝试过多"),
    "error.503": ("Temporarily unavailable", "暂时不可用"),
    "error.500": ("Something broke on the server", "服务器内部错误"),
    "error.500_hint": (
        "It is in the fleet's log. Nothing was half-done; try again.",
        "错误已写入日志，可以重试。",
    ),
    "error.404_hint": (
        "This page does not exist, or lies outside your area.",
        "页面不存在，或不在您的管辖区域内。",
    ),
    "error.form": (
        "This form is from an older session. Reload the page and try again.",
        "表单来自旧会话，请刷新页面后重试。",
    ),
    "error.home": ("Back to the map", "返回地图"),
    "js.live": ("live", "实时"),
    "js.as_of": ("as of {time}", "数据时间 {time}"),
    "js.connecting": ("connecting…", "连接中…"),
    "js.lost": ("no connection for {age}", "已断开 {age}"),
    "js.lost_banner": (
        "No connection to the fleet. What you see is from {time}.",
        "与平台的连接已断开，当前显示的是 {time} 的数据。",
    ),
    "js.ago": ("{age} ago", "{age}前"),
    "js.now": ("now", "刚刚"),
    "js.never": ("never", "从未"),
    "js.seconds": ("{n} s", "{n} 秒"),
    "js.minutes": ("{n} min", "{n} 分钟"),
    "js.hours": ("{n} h", "{n} 小时"),
    "js.days": ("{n} d", "{n} 天"),
    "js.sending": ("Sending {level} %… {elapsed} s", "正在下发 {level} %… {elapsed} 秒"),
    "js.done": (
        "Done: the lamp confirmed {level} % after {ms} ms.",
        "完成：灯具在 {ms} 毫秒后确认 {level} %。",
    ),
    "js.expired": (
        "Expired: the node did not take the command in time.",
        "已超时：节点未在期限内执行命令。",
    ),
    "js.refused": ("Refused by the node.", "节点拒绝执行。"),
    "js.unreachable": ("Unreachable: the gateway is not connected.", "不可达：网关未连接。"),
    "js.pending": ("No answer yet; the lamp may still follow.", "尚未收到结果，灯具可能稍后执行。"),
    "js.failed": ("The request did not reach the fleet.", "请求未送达平台。"),
    "js.none_found": ("No pole matches.", "没有匹配的灯杆。"),
    "js.all_well": ("Every pole is doing what it should.", "所有灯杆运行正常。"),
    "js.none_in_service": ("No node is in service here.", "此处没有运行中的节点。"),
    "js.more": ("and {n} more", "另有 {n} 根"),
    "js.no_history": ("Nothing was stored in this range.", "该时间段内没有数据。"),
    "js.history_failed": ("The history could not be loaded.", "历史数据加载失败。"),
    "js.loading": ("Loading…", "加载中…"),
    "js.no_value": ("no value", "无数据"),
}  # fmt: skip


def translate(language: Language, key: str, **values: object) -> str:
    """Return a text in a language with its {values} filled in.

    Raises:
        KeyError: There is no such text; add it above.
    """
    english, chinese = TEXTS[key]
    text = chinese if language is Language.ZH else english
    return text.format(**values) if values else text


def browser_texts(language: Language) -> dict[str, str]:
    """Return the texts for the browser's modules by key, without the "js." in front."""
    texts = {key[3:]: translate(language, key) for key in TEXTS if key.startswith("js.")}
    texts |= {key: translate(language, key) for key in TEXTS if key.startswith("status.")}
    return texts


def negotiate(cookie: str | None, accept_language: str) -> Language:
    """Choose the language: what the person chose, else the first that the browser prefers.

    Args:
        cookie: Value of the language cookie, if any.
        accept_language: The Accept-Language header (RFC 9110, 12.5.4).
    """
    for language in Language:
        if cookie == language.value:
            return language
    weighted: list[tuple[float, int, Language]] = []
    for position, part in enumerate(accept_language.split(",")):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            weight = 0.0
        primary = tag.split("-")[0].lower()
        for language in Language:
            if weight > 0 and primary == language.value.split("-")[0]:
                weighted.append((-weight, position, language))
    return min(weighted, key=lambda entry: entry[:2])[2] if weighted else Language.EN
