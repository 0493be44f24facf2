"""What the gateway does next for a node, from what the node says; no I/O."""

import pytest

from poleward_gateway.domain.updates import (
    NodeUpdate,
    PackageResult,
    PackageState,
    Step,
    UpdateReadout,
    UpdateState,
    next_step,
)

DIGEST = b"d" * 32


@pytest.mark.parametrize(
    ("state", "package", "result", "sequence", "on_trial", "step", "after"),
    [
        ("idle", "idle", "none", 1, False, "offer", "offered"),
        ("idle", "idle", "failed", 1, False, "offer", "offered"),
        ("offered", "downloading", "none", 1, False, "wait", "downloading"),
        ("downloading", "downloaded", "none", 1, False, "install", "downloaded"),
        ("downloaded", "updating", "none", 1, False, "wait", "downloaded"),
        ("downloaded", "idle", "none", 2, True, "wait", "trial"),
        ("trial", "idle", "success", 2, False, "finish", "confirmed"),
        ("trial", "idle", "failed", 1, False, "finish", "returned"),
        ("downloaded", "idle", "failed", 1, False, "finish", "returned"),
        ("downloaded", "idle", "no room", 1, False, "finish", "failed"),
        ("downloaded", "idle", "success", 1, False, "finish", "rejected"),
        ("downloading", "idle", "refused", 1, False, "finish", "rejected"),
        ("downloading", "idle", "link lost", 1, False, "finish", "failed"),
        ("idle", "idle", "none", 2, False, "finish", "confirmed"),
        ("idle", "idle", "none", 3, False, "finish", "rejected"),
        ("failed", "idle", "none", 1, False, "finish", "failed"),
        ("failed", "idle", "none", 2, False, "finish", "confirmed"),
        ("offered", "idle", "none", 1, False, "offer", "offered"),
        ("offered", "updating", "none", 1, True, "wait", "offered"),
    ],
)
def test_what_comes_next_for_a_node(
    state: str, package: str, result: str, sequence: int, on_trial: bool, step: str, after: str
) -> None:
    readout = UpdateReadout(
        PackageState(package), PackageResult(result), sequence, on_trial, explanation=""
    )
    found, update = next_step(NodeUpdate(DIGEST, UpdateState(state)), 2, readout)
    assert (found, update.state) == (Step(step), UpdateState(after))
    assert bool(update.reason) == (after in {"returned", "rejected", "failed"}) or state == after


@pytest.mark.parametrize(
    ("package", "step"),
    [("idle", "offer"), ("downloading", "offer"), ("downloaded", "offer"), ("updating", "wait")],
)
def test_what_a_node_has_of_another_release_gives_way(package: str, step: str) -> None:
    readout = UpdateReadout(
        PackageState(package), PackageResult.NONE, 1, on_trial=False, explanation="",
        package=b"o" * 32,
    )  # fmt: skip
    found, update = next_step(NodeUpdate(DIGEST, UpdateState.IDLE), 2, readout)
    assert (found, update.state is UpdateState.IDLE) == (Step(step), step == "wait")


def test_a_fresh_offer_is_not_repeated() -> None:
    readout = UpdateReadout(PackageState.IDLE, PackageResult.NONE, 1, False, explanation="")
    offered = NodeUpdate(DIGEST, UpdateState.OFFERED)
    assert next_step(offered, 2, readout, offer_is_fresh=True) == (Step.WAIT, offered)


def test_a_node_whose_power_failed_after_the_download_is_offered_the_release_again() -> None:
    readout = UpdateReadout(PackageState.IDLE, PackageResult.NONE, 1, False, explanation="")
    downloaded = NodeUpdate(DIGEST, UpdateState.DOWNLOADED)
    assert next_step(downloaded, 2, readout, offer_is_fresh=True) == (Step.WAIT, downloaded)
    step, update = next_step(downloaded, 2, readout)
    assert (step, update.state) == (Step.OFFER, UpdateState.OFFERED)
