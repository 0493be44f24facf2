"""Texts about releases and rollouts.

Not the choice of a language (the package).
"""

# key -> (English, Chinese).
TEXTS: dict[str, tuple[str, str]] = {
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
    "downgrade.title": ("Going back to it", "回退许可"),
    "downgrade.nobody": ("nobody may, nodes take only what is newer", "无，节点只接受更新的版本"),
    "downgrade.node": ("node {name} may go back", "节点 {name} 可回退"),
    "downgrade.gateway": ("gateway {name} may go back", "网关 {name} 可回退"),
    "downgrade.rollout": ("rollout {name} may go back", "任务 {name} 可回退"),
    "releases.signed_by": ("Signed by", "签名者"),
    "releases.unknown_key": ("never trusted here", "此处从未信任"),
    "releases.no_notes": ("No notes.", "没有说明。"),
    "releases.image": ("image", "镜像"),
    "releases.no_rollout": ("It was never rolled out", "尚未下发"),
    "releases.no_sbom": ("No bill of materials", "没有物料清单"),
    "releases.no_sbom_hint": (
        "It was published without one; then nobody can ask which nodes run a component.",
        "发布时未附物料清单，因此无法按组件查询节点。",
    ),
    "rollouts.title": ("Rollouts", "升级任务"),
    "rollouts.new": ("New rollout", "新建任务"),
    "rollouts.empty": ("No rollout yet", "还没有升级任务"),
    "rollouts.empty_hint": (
        "A rollout brings a published release to the nodes or gateways of an area and stops by "
        "itself when too many of them fail.",
        "升级任务把已发布的版本下发到某个区域的节点或网关，失败过多时会自动停止。",
    ),
    "rollouts.search": ("Name, number or release", "名称、序号或版本"),
    "rollouts.find": ("Find", "查找"),
    "rollouts.none_found": ("No rollout matches", "没有匹配的任务"),
    "rollouts.show_all": ("Show all", "显示全部"),
    "rollouts.frozen": (
        "Update frozen: what these nodes were told to install does not hold at this time. The "
        "fleet signs it anew and asks again. If that does not help, look at the connection and "
        "the clock of their gateway and at the clocks of the nodes; a gateway that keeps giving "
        "old directives may be in foreign hands.",
        "升级被冻结：这些节点收到的安装指令不在有效期内。平台会重新签署并再次下发。如仍无效，请检查"
        "其网关的连接和时钟以及节点的时钟；反复提供过期指令的网关可能已被他人控制。",
    ),
    "rollouts.frozen_gateways": (
        "Update frozen: what these gateways were told to install does not hold at this time. The "
        "fleet signs it anew and asks again. If that does not help, look at their connections and "
        "clocks.",
        "升级被冻结：这些网关收到的安装指令不在有效期内。平台会重新签署并再次下发。如仍无效，请检查"
        "其连接和时钟。",
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
        "Failed, rejected, returned and timed-out count.",
        "失败、拒绝、回退和超时都计入。",
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
        "Abort this rollout? Those that run or try the release keep it, the others drop it; it "
        "cannot be resumed.",
        "确定中止？已升级或试运行中的保持新版本，其余丢弃该版本，任务不能再恢复。",
    ),
    "rollouts.confirmed_of": ("{done} of {all} nodes confirmed", "{done} / {all} 个节点已确认"),
    "rollouts.nodes": ("Nodes", "节点"),
    "rollouts.pole": ("Pole", "灯杆"),
    "rollouts.reason": ("Reason", "原因"),
    "rollouts.since": ("Since", "起始时间"),
    "rollouts.history": ("Updates", "升级记录"),
    "rollouts.all_nodes": ("All {count}", "全部 {count} 个"),
    "rollouts.any_stage": ("all", "全部"),
    "rollouts.attempts": ("Tries", "次数"),
    "rollouts.before": ("Before", "上一页"),
    "rollouts.after": ("After", "下一页"),
    "rollouts.reload": ("Look again", "刷新"),
    "rollouts.shown": ("{first} to {last} of {total}", "第 {first} 至 {last} 个，共 {total} 个"),
    "rollouts.no_nodes_there": ("Nobody is at this stage now", "目前没有处于此阶段的对象"),
    "rollouts.gateway": ("Gateway", "网关"),
    "rollouts.gateways": ("Gateways", "网关"),
    "rollouts.gateways_confirmed": (
        "{done} of {all} gateways confirmed", "{done} / {all} 个网关已确认",
    ),
    "rollouts.gateways_not_begun": ("{all} gateways, not begun", "{all} 个网关，未开始"),
    "rollouts.approve_ask_gateways": (
        "Approve {version} for {count} gateways?", "批准将 {version} 下发到 {count} 个网关？",
    ),
    "rollouts.why": (
        "Why they were not successful or are asked again", "未成功或重试的原因",
    ),
    "rollouts.report": ("Report", "报告"),
    "rollouts.patches": ("{count} are still made.", "还有 {count} 个差分包正在生成。"),
    "rollouts.pause_ask": (
        "Pause this rollout? Those under way finish; no others begin.",
        "确定暂停？正在进行的升级会完成，其余不再开始。",
    ),
    "rollouts.resume_ask": (
        "Go on? The failures so far will not stop it again.",
        "确定继续？此前的失败不会再使任务停止。",
    ),
    "rollouts.approve_ask": (
        "Approve {version} for {count} nodes?", "批准将 {version} 下发到 {count} 个节点？",
    ),
    "rollouts.approve": ("Approve", "批准"),
    "rollouts.approve_wave": ("Let the next wave begin", "批准下一批次"),
    "rollouts.approved_by": ("Approved by", "批准人"),
    "rollouts.returns": ("It returns what rollout {number} updated", "恢复任务 {number} 的对象"),
    "rollouts.wave": ("Wave {number}", "批次 {number}"),
    "rollouts.wave_short": ("Wave", "批次"),
    "rollouts.confirmed_short": ("{done} of {all} confirmed", "已确认 {done} / {all}"),
    "rollouts.not_begun": ("{all} nodes, not begun", "{all} 个节点，未开始"),
    "rollouts.rule_success": ("then {percent} % confirmed", "确认率达到 {percent} %"),
    "rollouts.rule_wait": ("watched for {minutes} min", "观察 {minutes} 分钟"),
    "waits_for.nothing": ("It waits for nothing.", "无需等待。"),
    "waits_for.second_person": (
        "A second person has to approve it before it begins.", "需要另一人批准后才会开始。",
    ),
    "waits_for.resume": (
        "It offers nothing until somebody resumes it.", "已暂停，恢复后才会继续。",
    ),
    "waits_for.patches": ("It waits for patches.", "正在等待差分包。"),
    "waits_for.window": ("It waits for its window.", "正在等待允许的时间窗口。"),
    "waits_for.nodes": ("It waits for those under way.", "正在等待升级完成。"),
    "waits_for.time": (
        "Those that were updated are watched before it goes on.", "正在观察已升级的对象。",
    ),
    "waits_for.approval": ("The next wave waits for a person.", "下一批次等待人工批准。"),
    "waits_for.late_nodes": (
        "All are done; it stays open for those that match later.",
        "现有对象均已完成，任务保持开放，等待后续加入的对象。",
    ),
    "on_failure.pause": ("Pause, a person decides", "暂停，由人决定"),
    "on_failure.cancel": ("Stop, who was updated keeps the release", "停止，已升级的保持新版本"),
    "on_failure.return": ("Stop and return who was updated", "停止，并恢复已升级的对象"),
    "rollout.proposed": ("proposed", "待批准"),
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
    "stage.superseded": ("superseded", "已被取代"),
}  # fmt: skip
