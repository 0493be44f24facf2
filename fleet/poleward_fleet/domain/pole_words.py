"""What the fleet refuses around poles, their nodes, lamps and alarms, in English.

By key; {values} are filled in. Not their translation (adapters/web/texts/pole_words.py).
"""

POLE_WORDS: dict[str, str] = {
    # Poles.
    "no_pole": "pole {pole} does not exist",
    "code_taken": "pole code {pole} is taken by a pole outside your area",
    "pole_exists": "there is a pole {pole} already; choose it, or another code",
    "pole_needs_area": "a new pole needs an area",
    "pole_far_away": "pole {pole} is {km} km from every other pole of its area; confirm position "
    "and area",
    "no_node_in_pole": "pole {pole} has no node; commission one first",
    # Lamps.
    "level_range": "a level must be 0 to 100 percent, not {level}",
    "lamp_range": "the duration or the lamp's number makes no sense",
    "no_scene": "scene {scene} does not exist",
    "no_group": "group {group} does not exist",
    # Alarms.
    "no_alarm": "there is no alarm {number}",
    "alarm_ends_itself": "alarm {number} ends by itself when its cause has ended",
    "acknowledge_first": "acknowledge alarm {number} before you end it",
    # Nodes.
    "no_node": "node {node} does not exist",
    "unknown_node": "node {node} is not known",
    "wrong_claim": "node {node} is not known or the claim code is not the one on its label",
    "cannot_step": "node {node} is {life} and cannot be {step}; that is possible for: {lives}",
    "served_already": "node {node} is served by {gateway} already",
    "stands_in": "node {node} stands in pole {pole}",
    "stands_here": "node {node} stands in pole {pole}; move it to another gateway",
    "say_swapped": "node {node} stands in pole {pole}; say that it is swapped",
    "changed_meanwhile": "node {node} was changed at the same moment; look at it again",
    "pole_just_taken": "somebody else put a node into pole {pole} at the same moment",
    "step_reason": "a reason has at most {most} characters",
    "no_gateway": "gateway {gateway} does not exist or was revoked; enrol it first",
    "nobody_serves": "no gateway serves area {area} or one above it; enrol one or name one",
}
