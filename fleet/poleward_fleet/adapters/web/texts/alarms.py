"""Texts about alarms.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "nav.alarms": ("Alarms", "告警"),
    "alarms.title": ("Alarms", "告警"),
    "alarms.open": ("Standing", "当前告警"),
    "alarms.all": ("All", "全部"),
    "alarms.kind": ("What", "告警"),
    "alarms.pole": ("Pole", "灯杆"),
    "alarms.since": ("Since", "发生时间"),
    "alarms.state": ("State", "状态"),
    "alarms.by": ("Who cares", "处理人"),
    "alarms.raised": ("open", "未确认"),
    "alarms.acknowledged": ("acknowledged", "已确认"),
    "alarms.cleared": ("ended", "已恢复"),
    "alarms.acknowledge": ("Acknowledge", "确认"),
    "alarms.clear": ("End the call", "结束求助"),
    "alarms.clear_ask": (
        "Is the person safe? This ends the emergency call.",
        "确认求助人已安全？此操作将结束求助。",
    ),
    "alarms.unanswered": ("nobody answered ({times})", "无人应答（{times}）"),
    "alarms.more": ("Only the newest are shown.", "仅显示最新的告警。"),
    "alarms.empty": ("No alarm stands", "当前没有告警"),
    "alarms.empty_hint": ("New ones appear here by themselves.", "新告警会自动显示在这里。"),
    "alarm.sos": ("Emergency call", "应急求助"),
    "alarm.node.silent": ("Node silent", "节点失联"),
    "alarm.supply.lost": ("Supply lost", "供电中断"),
    "alarm.lamp.failed": ("Lamp failed", "灯具故障"),
    "alarm.lamp.relay_stuck": ("Lamp does not go out", "继电器粘连"),
    "alarm.lamp.day_burner": ("Burns by day", "白天亮灯"),
    "alarm.lamp.cycling": ("Goes on and off", "频繁开关"),
    "alarm.lamp.power_high": ("Power too high", "功率过高"),
    "alarm.lamp.power_low": ("Power too low", "功率过低"),
    "alarm.gateway.strangers": ("Many strangers at a gateway", "网关遇到大量陌生设备"),
    "alarm.update.frozen": ("Update frozen", "升级被冻结"),
    "alarm.supply.power_factor_low": ("Power factor too low", "功率因数过低"),
}  # fmt: skip
