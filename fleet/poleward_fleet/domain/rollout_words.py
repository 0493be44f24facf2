"""The sentences about rollouts in English, by key; {values} are filled in.

Not their translation (adapters/web/texts) and not the words of nodes and gateways.
"""

ROLLOUT_WORDS: dict[str, str] = {
    # Why a rollout stands where it stands.
    "too_many_failures": "{failures} were not successful; the limit is {limit}",
    "failure_share": "{failures} of {nodes} in wave {wave} were not successful; "
    "the limit is {percent} %",
    "out_of_reach": "wave {wave} cannot reach {percent} % success any more: {failures} of {nodes} "
    "were not successful",
    "reboots": "nodes of wave {wave} rebooted {after} times each after the update",
    "heap": "nodes of wave {wave} have {after} KiB of memory free, {before} KiB before",
    "alarms": "nodes of wave {wave} raise {after} alarms an hour each, {before} before",
    "power": "lamps of wave {wave} draw {after} % of what they drew at the same level",
    "missing": "reports of wave {wave} have {after} values, {before} before",
    "completed": "{confirmed} of {nodes} run it",
    "by_person": "by {person}",
    # Why a node stands where it stands.
    "ran_already": "it runs the release already",
    "silent": "it did not get further in time",
    "frozen": "its directive does not hold now ({told})",
    "went_back": "it runs release {sequence} again",
    "try_again": "{reason}; it is asked again",
    "newer": "rollout {rollout} brings a newer release",
    # Refusals.
    "no_release": "release {digest}… is not published",
    "no_rollout": "rollout {rollout} does not exist",
    "no_nodes": "no node with board profile {profile} that could take the release is in service "
    "there",
    "no_gateways": "no gateway that could take the release is in service there",
    "taken": "{code} is in rollout {rollout}, which is not over; wait for it, abort it "
    "or let the new rollout supersede it",
    "cannot_become": "rollout {rollout} is {state}; it cannot become {wanted}",
    "second_person": "rollout {rollout} was made by {person}; somebody else has to approve it",
    "nothing_to_approve": "rollout {rollout} does not wait for anybody",
    "wider": "rollout {rollout} goes beyond your area; somebody who is responsible for all of it "
    "has to do that",
    "waves_count": "a rollout has 1 to {most} waves",
    "last_wave_is_rest": "the last wave, and only that, takes all that are left",
    "wave_size_twice": "wave {wave} has a number and a percentage; choose one",
    "wave_range": "a size, percentage or waiting time of wave {wave} is out of range",
    "policy_range": "{name} must be {least} to {most}",
    "rollout_name": "a rollout's name has 1 to 32 lower-case letters, digits, '.' and '-' and "
    "begins with a letter",
    "name_taken": "there is a rollout {rollout} already; choose another name",
    "return_needs_release": "name the release to return to if, and only if, something is to be "
    "returned",
    "return_older": "release {version} has sequence number {sequence}, not above {least}: sign the "
    "good release again with a higher one, or build it with --allow-downgrade rollout:{rollout} "
    "and name this rollout {rollout}",
    "return_undirected": "nobody goes back to release {version} without directives: publish a "
    "trust document that names a directive key, or sign the good release again with a higher "
    "number",
    "return_profile": "release {version} is for another board profile",
    "window_range": "a window needs weekdays and two times of the day",
    "time_zone": "time zone {zone} is not known; use a name such as Asia/Shanghai",
    "labels": "a label has 1 to 64 printable characters without spaces",
    "too_many_poles": "name at most {most} poles",
    "form_number": "{field} must be a whole number",
    "form_release": "choose a release from the list",
    "unknown_poles": "these poles do not exist: {poles}",
    "unknown_gateways": "these gateways do not exist: {poles}",
    "trust_expired": "trust document {document} has expired, and nothing is installed under it; "
    "sign the next one (`poleward keys rotate`), give it out (`poleward keys publish`), then try "
    "again",
    "trust_expires": "trust document {document} expires at {expires}, and a wave may last until "
    "{until}; sign the next one (`poleward keys rotate`) and give it out (`poleward keys publish`) "
    "first, or wait less after waves",
}
