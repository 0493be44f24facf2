"""The commands of administrators against a running fleet, as they type them."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleet_rig import CITY, DISTRICT, Rig
from poleward_fleet.domain.accounts import Permission, Principal, Role
from poleward_fleet.domain.approvals import ApprovalNeededError, GuardedAction

pytestmark = pytest.mark.system

REFUSED, FAILED, USAGE = 4, 1, 2


@dataclass
class Typed:
    """What became of a command."""

    code: int
    out: str
    complaint: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.complaint
        return json.loads(self.out)


async def poleward(rig: Rig, *arguments: str, token: str = "", given: str = "") -> Typed:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "poleward_tools", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {
            "POLEWARD_FLEET": rig.addresses.web, "POLEWARD_TOKEN": token or rig.api_token,
            "COLUMNS": "200",
        },
    )  # fmt: skip
    out, complaint = await process.communicate(given.encode())
    return Typed(process.returncode or 0, out.decode(), complaint.decode())


async def test_account_gets_roles_a_token_and_is_removed(rig: Rig) -> None:
    roles = (await poleward(rig, "role", "list", "--json")).json["roles"]
    assert roles["integrator"] == ["see"]
    made = await poleward(rig, "user", "put", "mei", "--role", "operator", "--area", CITY, "--json")
    assert len(made.json["password"]) >= 12
    short = await poleward(
        rig, "user", "put", "oto", "--role", "viewer", "--password-stdin", given="short\n"
    )
    assert short.code == REFUSED
    assert "12 characters" in short.complaint
    wish = ("--scope", "see", "--label", "wall", "--days", "1", "--calls-per-s", "1")
    token = (await poleward(rig, "token", "create", "mei", *wish, "--json")).json["api_token"]
    listed = (await poleward(rig, "token", "list", "mei", "--json")).json["tokens"]
    assert [(t["label"], t["scopes"], t["calls_per_s"]) for t in listed] == [("wall", ["see"], 1)]
    assert (await poleward(rig, "area", "list", token=token)).code == 0
    denied = await poleward(rig, "user", "list", token=token)
    assert (denied.code, "administrator" in denied.complaint) == (REFUSED, True)
    revoked = await poleward(rig, "token", "revoke", str(listed[0]["number"]), "--json")
    assert len(revoked.json["revoked"]) == 1
    assert (await poleward(rig, "area", "list", token=token)).code == REFUSED
    assert (await poleward(rig, "token", "revoke")).code == USAGE
    assert (await poleward(rig, "user", "drop", "mei")).code == 0
    names = [a["name"] for a in (await poleward(rig, "user", "list", "--json")).json["accounts"]]
    assert names == ["admin"]


async def test_session_is_seen_and_ended(rig: Rig) -> None:
    password = json.loads((rig.data_dir / "admin.json").read_text())["password"]
    session = await rig.fleet.accounts.login("admin", password, remote="10.0.0.7", agent="Test")
    (seen,) = (await poleward(rig, "user", "sessions", "--json")).json["sessions"]
    assert (seen["account_name"], seen["remote"], seen["agent"]) == ("admin", "10.0.0.7", "Test")
    assert (await poleward(rig, "user", "end-session", str(seen["number"]))).code == 0
    assert await rig.fleet.accounts.principal_of(session.token) is None
    assert (await poleward(rig, "user", "end-session", "999")).code == REFUSED


async def test_tables_go_in_and_come_out_the_same(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "poles.csv"
    head = "code,area_code,latitude_deg,longitude_deg,lamp_nominal_w,equipment\n"
    row = f"P-1,{DISTRICT},30.25,120.16,60,lamp air\n"
    file.write_text(f"{head}{row}P-2,{DISTRICT},north,120,60,lamp\n")
    bad = await poleward(rig, "import", "poles", str(file))
    assert bad.code == FAILED
    assert "line 3" in bad.out
    assert "latitude_deg 'north' is no number" in bad.out
    file.write_text(head + row)
    rehearsed = (await poleward(rig, "import", "poles", str(file), "--dry-run", "--json")).json
    assert (rehearsed["created"], rehearsed["stored"]) == (1, False)
    assert (await poleward(rig, "import", "poles", str(file), "--json")).json["stored"]
    assert (
        await poleward(rig, "area", "put", "330106001000", "街道", "--within", DISTRICT)
    ).code == 0
    folder = tmp_path / "out"
    written = (await poleward(rig, "export", str(folder), "--format", "geojson", "--json")).json
    assert {Path(name).name for name in written["files"]} == {
        "areas.geojson", "poles.geojson", "equipment.csv", "nodes.csv", "gateways.csv",
        "accounts.csv",
    }  # fmt: skip
    for table, name in (("areas", "areas.geojson"), ("poles", "poles.geojson")):
        back = (await poleward(rig, "import", table, str(folder / name), "--json")).json
        assert (back["stored"], back["faults"], back["unchanged"]) == (
            False,
            [],
            4 if table == "areas" else 1,
        )
    assert (await poleward(rig, "import", "poles", str(tmp_path / "none.csv"))).code == USAGE
    assert (await poleward(rig, "export", str(folder), "--table", "kings")).code == USAGE


async def test_audit_record_is_exported_and_verified_with_and_without_the_fleet(
    rig: Rig, tmp_path: Path
) -> None:
    noted = (await poleward(rig, "audit", "verify", "--json")).json["newest"]
    await poleward(rig, "area", "put", "330106001000", "街道", "--within", DISTRICT)
    assert (await poleward(rig, "audit", "verify", "--noted", noted)).code == 0
    other = await poleward(rig, "audit", "verify", "--noted", f"1:{'00' * 32}")
    assert (other.code, "not the one that was noted" in other.complaint) == (FAILED, True)
    assert (await poleward(rig, "audit", "verify", "--noted", "1:zz")).code == USAGE
    file, table = tmp_path / "audit.jsonl", tmp_path / "areas.csv"
    count = (await poleward(rig, "audit", "export", str(file), "--json")).json["records"]
    whole = await poleward(rig, "audit", "verify", "--file", str(file), "--noted", noted)
    assert (whole.code, f"{count} records" in whole.out) == (0, True)
    file.write_text(file.read_text().replace("330106001000", "330106001001"))
    forged = await poleward(rig, "audit", "verify", "--file", str(file))
    assert (forged.code, f"Record {count} was altered" in forged.complaint) == (FAILED, True)
    chosen = ("--format", "csv", "--action", "area", "--since", "2020-01-01")
    assert (await poleward(rig, "audit", "export", str(table), *chosen)).code == 0
    lines = table.read_text().splitlines()
    assert lines[0].startswith("number,at_ms,at,actor,action,subject")
    assert all(",area.put," in line for line in lines[1:])
    assert (await poleward(rig, "audit", "export", "--since", "soon")).code == USAGE


async def test_second_person_approves_on_the_command_line(rig: Rig) -> None:
    officer = Principal("olga", frozenset({Role.SECURITY_OFFICER}))
    revoke = GuardedAction("release_key.revoke", "key-1", Permission.TRUST_KEYS)
    with pytest.raises(ApprovalNeededError) as needed:
        await rig.fleet.approvals.require(officer, revoke)
    number = str(needed.value.approval.number)
    waiting = (await poleward(rig, "approval", "list", "--waiting", "--json")).json["approvals"]
    assert [(one["action"], one["may_decide"]) for one in waiting] == [(revoke.action, True)]
    assert (await poleward(rig, "approval", "withdraw", number)).code == REFUSED
    assert (await poleward(rig, "approval", "approve", number, "--reason", "ok")).code == 0
    assert (await poleward(rig, "approval", "reject", number)).code == REFUSED
    await rig.fleet.approvals.require(officer, revoke)
