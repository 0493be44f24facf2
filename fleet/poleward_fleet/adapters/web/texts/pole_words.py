"""Refusals around poles, their nodes, lamps and alarms, in Chinese.

Their English is in domain/pole_words.py. Not labels and headings (poles.py, nodes.py, alarms.py).
"""

from poleward_fleet.domain.pole_words import POLE_WORDS

_CHINESE = {
    "no_pole": "灯杆 {pole} 不存在",
    "code_taken": "灯杆编号 {pole} 已被您区域以外的灯杆占用",
    "pole_exists": "灯杆 {pole} 已存在，请选择它或使用其他编号",
    "pole_needs_area": "新灯杆须指定区域",
    "pole_far_away": "灯杆 {pole} 距该区域其他灯杆 {km} km，请确认位置和区域",
    "no_node_in_pole": "灯杆 {pole} 没有节点，请先调试节点",
    "level_range": "亮度应为 0 至 100 %，而不是 {level}",
    "lamp_range": "持续时间或灯具序号无效",
    "no_scene": "场景 {scene} 不存在",
    "no_group": "分组 {group} 不存在",
    "no_alarm": "告警 {number} 不存在",
    "alarm_ends_itself": "告警 {number} 在原因消除后自动结束",
    "acknowledge_first": "请先确认告警 {number}，再结束它",
    "no_node": "节点 {node} 不存在",
    "unknown_node": "未知节点 {node}",
    "wrong_claim": "节点 {node} 未知，或认领码与标签不符",
    "cannot_step": "节点 {node} 当前为“{life}”，不能{step}；仅以下状态可以：{lives}",
    "served_already": "节点 {node} 已由网关 {gateway} 服务",
    "stands_in": "节点 {node} 位于灯杆 {pole}",
    "stands_here": "节点 {node} 位于灯杆 {pole}，请将其迁移到其他网关",
    "say_swapped": "灯杆 {pole} 已有节点 {node}，请选择更换",
    "changed_meanwhile": "节点 {node} 刚刚被他人修改，请重新查看",
    "pole_just_taken": "他人刚刚将节点装入灯杆 {pole}",
    "step_reason": "原因最多 {most} 个字符",
    "no_gateway": "网关 {gateway} 不存在或已吊销，请先办理入网",
    "nobody_serves": "区域 {area} 及其上级没有网关服务，请先办理网关入网或指定网关",
}
_STEPS = {
    "claimed": "认领",
    "commissioned": "调试",
    "put in service": "投入运行",
    "moved": "迁移",
    "given other keys": "更换密钥",
    "swapped out": "更换",
    "quarantined": "隔离",
    "released": "解除",
    "reported lost": "报失",
    "decommissioned": "退役",
}
# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
    f"words.{key}": (english, _CHINESE[key]) for key, english in POLE_WORDS.items()
} | {f"step.{done.replace(' ', '_')}": (done, chinese) for done, chinese in _STEPS.items()}
