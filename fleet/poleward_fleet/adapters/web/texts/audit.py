"""Texts of the audit page.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
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
    "action.alarm.ack": ("alarm acknowledged", "确认告警"),
    "action.alarm.clear": ("emergency call ended", "结束求助"),
    "action.alarm.escalate": ("emergency call unanswered", "求助无人应答"),
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
}  # fmt: skip
