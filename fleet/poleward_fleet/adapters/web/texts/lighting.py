"""Texts about lighting programs, groups, scenes, local rules and emergency calls.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "nav.lighting": ("Lighting", "照明"),
    "lighting.title": ("Lighting", "照明"),
    "lighting.programs": ("Programs", "照明方案"),
    "lighting.programs_empty": (
        "No program yet. Lamps burn at their default level.",
        "暂无方案，灯具按默认亮度工作。",
    ),
    "lighting.name": ("Name", "名称"),
    "lighting.time_zone": ("Time zone", "时区"),
    "lighting.rules": ("Rules", "规则"),
    "lighting.rules_hint": (
        "One a line, the first that applies to a night: dates | days | times | levels. "
        "S is sunset, R sunrise.",
        "每行一条，按顺序取当晚第一条适用的规则：日期 | 星期 | 时刻 | 亮度。S 为日落，R 为日出。",
    ),
    "lighting.followed": (
        "{followed} of {assigned} follow it",
        "{assigned} 根中 {followed} 根已执行",
    ),
    "lighting.save": ("Save program", "保存方案"),
    "lighting.preview": ("Tonight", "今晚曲线"),
    "lighting.preview_at": ("at pole", "所在灯杆"),
    "lighting.preview_wait": (
        "Name a pole to see the night there.",
        "填写灯杆编号以预览当晚曲线。",
    ),
    "lighting.sunset": ("Sunset {time}", "日落 {time}"),
    "lighting.sunrise": ("Sunrise {time}", "日出 {time}"),
    "lighting.assign": ("Assign", "下发"),
    "lighting.assign_to": ("to area", "到区域"),
    "lighting.groups": ("Groups", "分组"),
    "lighting.groups_empty": ("No group yet.", "暂无分组。"),
    "lighting.poles": ("{count} poles", "{count} 根灯杆"),
    "lighting.pole_codes": ("Poles, by their codes", "灯杆编号"),
    "lighting.save_group": ("Save group", "保存分组"),
    "lighting.dim": ("Dim", "调光"),
    "lighting.level": ("Level %", "亮度 %"),
    "lighting.minutes": ("Minutes", "分钟"),
    "lighting.outcome": ("{done} of {all} lamps confirmed.", "{all} 盏中 {done} 盏已确认。"),
    "lighting.scenes": ("Scenes", "场景"),
    "lighting.scenes_empty": ("No scene yet.", "暂无场景。"),
    "lighting.run": ("Run", "执行"),
    "lighting.local_rules": ("Local rules", "本地规则"),
    "lighting.local_rules_empty": ("No rule yet.", "暂无规则。"),
    "lighting.local_rules_hint": (
        "Gateways carry them out by themselves, also without a connection.",
        "由网关自主执行，断网时同样有效。",
    ),
    "lighting.around": ("and {metres} m around", "及周围 {metres} 米"),
    "lighting.remove": ("Remove", "删除"),
    "lighting.remove_ask": ("Remove {name}?", "删除 {name}？"),
    "call.calling": ("Emergency call", "应急求助"),
    "call.accepted": ("Emergency call, accepted", "应急求助，已受理"),
    "call.accept": ("Accept the call", "受理求助"),
    "call.reset": ("Help was given: end the call", "处置完毕，结束求助"),
    "call.answered": ("The pole confirmed.", "灯杆已确认。"),
    "event.sos.pressed": ("Emergency call", "应急求助"),
    "event.sos.accepted": ("Emergency call accepted", "求助已受理"),
    "event.sos.reset": ("Emergency call ended", "求助已结束"),
    "event.rule.fired": ("Local rule carried out", "本地规则已执行"),
    "event.camera.preset": ("Camera preset asked for", "请求摄像机预置位"),
    "event_detail.rule": ("rule", "规则"),
    "device.lighting_program": ("Lighting program", "照明方案"),
}  # fmt: skip
