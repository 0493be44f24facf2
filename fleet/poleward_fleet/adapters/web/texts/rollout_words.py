"""What the fleet says about rollouts, in Chinese beside the English of domain/rollout_words.py.

Not labels and headings (updates.py, rollout_wizard.py).
"""

from poleward_fleet.domain.rollout_words import ROLLOUT_WORDS

_CHINESE = {
    "too_many_failures": "{failures} 个未成功，上限为 {limit}",
    "failure_share": "批次 {wave} 的 {nodes} 个中有 {failures} 个未成功，上限为 {percent} %",
    "out_of_reach": "批次 {wave} 已无法达到 {percent} % 的确认率："
    "{nodes} 个中有 {failures} 个未成功",
    "reboots": "批次 {wave} 的节点升级后平均重启 {after} 次",
    "heap": "批次 {wave} 的节点空闲内存 {after} KiB，此前为 {before} KiB",
    "alarms": "批次 {wave} 的节点平均每小时 {after} 次告警，此前为 {before} 次",
    "power": "批次 {wave} 的灯具在相同亮度下功率为此前的 {after} %",
    "missing": "批次 {wave} 的报告平均有 {after} 个数值，此前为 {before} 个",
    "completed": "{nodes} 个中有 {confirmed} 个已运行该版本",
    "by_person": "操作人：{person}",
    "ran_already": "已运行该版本",
    "silent": "未在规定时间内完成",
    "frozen": "安装指令不在有效期内（{told}）",
    "went_back": "又回到版本序号 {sequence}",
    "try_again": "{reason}；稍后重试",
    "newer": "任务 {rollout} 将下发更新的版本",
    "no_release": "版本 {digest}… 未发布",
    "no_rollout": "任务 {rollout} 不存在",
    "no_nodes": "该范围内没有可升级的 {profile} 型节点在运行",
    "no_gateways": "该范围内没有可升级的网关在运行",
    "taken": "{code} 在未结束的任务 {rollout} 中；请等待、中止该任务，或让新任务取代它",
    "cannot_become": "任务 {rollout} 当前为“{state}”，不能变为“{wanted}”",
    "second_person": "任务 {rollout} 由 {person} 创建，须由另一人批准",
    "nothing_to_approve": "任务 {rollout} 没有待批准的事项",
    "wider": "任务 {rollout} 超出您的区域，须由负责整个范围的人员操作",
    "waves_count": "任务应有 1 至 {most} 个批次",
    "last_wave_is_rest": "最后一个批次（且仅最后一个）包含其余全部对象",
    "wave_size_twice": "批次 {wave} 同时填写了数量和百分比，请只选其一",
    "wave_range": "批次 {wave} 的大小、百分比或等待时间超出范围",
    "policy_range": "{name} 应在 {least} 至 {most} 之间",
    "rollout_name": "任务名称为 1 至 32 个小写字母、数字、“.”或“-”，以字母开头",
    "name_taken": "已有名为 {rollout} 的任务，请另选名称",
    "return_needs_release": "选择“恢复”时（且仅在此时）须指定恢复所用的版本",
    "return_older": "版本 {version} 的序号为 {sequence}，未大于 {least}：请以更高序号重新签名，"
    "或以 --allow-downgrade rollout:{rollout} 构建，并将本任务命名为 {rollout}",
    "return_undirected": "没有升级指令时任何设备都不会退回版本 {version}："
    "请发布含指令密钥的信任文件，或以更高序号重新签名",
    "return_profile": "版本 {version} 适用于其他硬件型号",
    "window_range": "时间窗口须包含星期和起止时间",
    "time_zone": "未知时区 {zone}，请使用如 Asia/Shanghai 的名称",
    "labels": "标签为 1 至 64 个可显示字符，不含空格",
    "too_many_poles": "最多可指定 {most} 个灯杆",
    "unknown_poles": "以下灯杆不存在：{poles}",
    "unknown_gateways": "以下网关不存在：{poles}",
    "trust_expired": "信任文件 {document} 已过期，任何版本都不会被安装；"
    "请签署下一份（`poleward keys rotate`）并发布（`poleward keys publish`）后重试",
    "trust_expires": "信任文件 {document} 将于 {expires} 过期，而批次可能持续到 {until}；"
    "请先签署下一份（`poleward keys rotate`）并发布（`poleward keys publish`），或缩短批次后的等待",
    "form_number": "{field} 应为整数",
    "form_release": "请从列表中选择版本",
}
# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    f"words.{key}": (english, _CHINESE[key]) for key, english in ROLLOUT_WORDS.items()
}
