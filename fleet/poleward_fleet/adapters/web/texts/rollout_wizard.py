"""Texts of the wizard for a new rollout.

Not those of a running one (updates.py).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    "wizard.target": ("Release and target", "版本与对象"),
    "wizard.name": ("Name", "任务名称"),
    "wizard.name_hint": (
        "May be empty. A letter first; lower-case letters, digits, dots and hyphens.",
        "可留空。以字母开头，仅含小写字母、数字、“.”和“-”。",
    ),
    "wizard.name_back": (
        "Only in a rollout of this name do they go back.",
        "只有在此名称的任务中才会回退。",
    ),
    "wizard.labels": ("Labels", "标签"),
    "wizard.labels_hint": ("Poles that carry all of these.", "仅包含带有全部这些标签的灯杆。"),
    "wizard.poles": ("Poles", "灯杆"),
    "wizard.gateways": ("Gateways", "网关"),
    "wizard.gateways_at_once": ("Gateways under way at once", "同时升级的网关数"),
    "wizard.wave_gateways": ("Gateways, or %", "网关数或百分比"),
    "wizard.rest_gateways": ("All gateways that are left", "其余全部网关"),
    "wizard.would_gateways": ("Gateways to update", "待升级网关"),
    "wizard.gateways_hint": (
        "Names with spaces between them; empty for those that serve the area.",
        "网关名称，用空格分隔；留空表示服务于该区域的全部网关。",
    ),
    "wizard.poles_hint": (
        "Codes with spaces between them; empty for all of the area.",
        "灯杆编号，用空格分隔；留空表示区域内全部。",
    ),
    "wizard.also_later": ("Also those that match later", "包含以后符合条件的对象"),
    "wizard.also_later_hint": (
        "The rollout stays open until it is superseded or aborted.",
        "任务保持开放，直到被取代或中止。",
    ),
    "wizard.waves": ("Waves", "批次"),
    "wizard.waves_hint": (
        "The next wave begins when enough of the one before confirmed, stayed healthy while "
        "watched and, if chosen, a person agreed. Empty rows are left out.",
        "上一批次确认率达标、观察期内保持健康，并（如勾选）经人工批准后，下一批次才会开始。空行忽略。",
    ),
    "wizard.wave_size": ("Nodes, or %", "节点数或百分比"),
    "wizard.wave_success": ("Confirmed, %", "确认率 %"),
    "wizard.wave_wait": ("Watched, min", "观察（分钟）"),
    "wizard.wave_approve": ("a person agrees", "人工批准"),
    "wizard.rest": ("All nodes that are left", "其余全部节点"),
    "wizard.policy": ("Limits", "限制"),
    "wizard.gateway_concurrency": ("The same behind one gateway", "每个网关同时升级的节点数"),
    "wizard.jitter": ("Spread offers over, min", "下发分散时间（分钟）"),
    "wizard.jitter_hint": ("Of each wave.", "按批次计算。"),
    "wizard.silence": ("Silent after, min", "静默判定（分钟）"),
    "wizard.silence_hint": (
        "Whoever stays in one stage for so long has failed. Empty: {loading} until it is "
        "downloaded, then {trial}.",
        "在同一阶段停留超过此时间即视为失败。留空则下载完成前为 {loading}，之后为 {trial}。",
    ),
    "wizard.max_attempts": ("Tries", "尝试次数"),
    "wizard.max_attempts_hint": (
        "Of each whose update failed on the way.", "仅限升级途中失败者。",
    ),
    "wizard.max_failure_percent": ("Stops at failures, % of a wave", "批次失败率停止阈值 %"),
    "wizard.on_failure": ("When it stops by itself", "自动停止时"),
    "wizard.return_release": ("Release to return to", "恢复所用版本"),
    "wizard.return_hint": (
        "The good release: signed again with a higher sequence number, or permitting this rollout "
        "to go back.",
        "可靠版本：以更高序号重新签名，或许可本任务回退。",
    ),
    "wizard.window": ("Only in these windows", "仅在以下时间窗口内"),
    "wizard.window_row": ("Window {number}", "时间窗口 {number}"),
    "wizard.window_start": ("From", "从"),
    "wizard.window_end": ("To", "到"),
    "wizard.time_zone": ("Time zone", "时区"),
    "wizard.time_zone_default": ("UTC", "Asia/Shanghai"),
    "wizard.needs_approval": ("A second person approves it", "需要另一人批准"),
    "wizard.needs_approval_hint": ("It does not begin before that.", "批准前不会开始。"),
    "wizard.supersede": ("Supersede older rollouts", "取代旧任务"),
    "wizard.supersede_hint": (
        "Those in a rollout of an older release come here, unless they try that by now.",
        "旧版本任务中尚未试运行的对象转入本任务。",
    ),
    "wizard.try": ("Dry run", "试运行"),
    "wizard.try_hint": (
        "Shows who would be updated, what it costs each link and how long it takes. Nothing is "
        "stored.",
        "显示将升级哪些对象、各链路的流量和所需时间；不保存任何内容。",
    ),
    "wizard.try_button": ("Dry run", "试运行"),
    "wizard.would_nodes": ("Nodes to update", "待升级节点"),
    "wizard.run_already": ("Run it already", "已运行该版本"),
    "wizard.run_newer": ("Left out, run a newer release", "已运行更新版本（不包含）"),
    "wizard.run_newer_hint": (
        "They go back only to a release whose signed permission names this rollout or them.",
        "只有当版本中签名的许可指定了本任务或这些对象时，它们才会回退。",
    ),
    "wizard.taken": ("In another rollout", "在其他任务中"),
    "wizard.taken_hint": ("tick Supersede, or wait for it", "请勾选“取代旧任务”或等待其结束"),
    "wizard.duration": ("Takes about", "预计时间"),
    "wizard.minutes": (
        "{minutes} min, when all answer", "{minutes} 分钟（全部应答时）",
    ),
    "wizard.canaries": ("First wave", "首批"),
    "wizard.gateway": ("Gateway", "网关"),
    "wizard.uplink": ("From the fleet", "平台到网关"),
    "wizard.downlink": ("To its nodes", "网关到节点"),
    "wizard.more_links": ("{count} more gateways.", "另有 {count} 个网关。"),
    "wizard.propose": ("Propose rollout", "提交审批"),
    "wizard.nobody": ("Nobody would be updated.", "没有可升级的对象。"),
    "weekday.0": ("Mon", "周一"),
    "weekday.1": ("Tue", "周二"),
    "weekday.2": ("Wed", "周三"),
    "weekday.3": ("Thu", "周四"),
    "weekday.4": ("Fri", "周五"),
    "weekday.5": ("Sat", "周六"),
    "weekday.6": ("Sun", "周日"),
}  # fmt: skip
