"""The fleet's directive key as people at a command line meet it; `keys drill` changes it."""

from pathlib import Path

import pytest
from test_people_commands import REFUSED, poleward

from fleet_rig import ADMIN, Rig
from poleward_tools.releases.keys import create_key

pytestmark = pytest.mark.system


async def test_documents_name_the_fleets_key_and_no_other(rig: Rig, tmp_path: Path) -> None:
    keys, new = str(tmp_path / "keys"), tmp_path / "directive-2.pub"
    root, factory = str(tmp_path / "keys" / "root-1.pem"), str(tmp_path / "release.pem")
    public = create_key(Path(factory)).public_key().public_bytes_raw()
    await rig.fleet.trust.trust_key(ADMIN, public, "factory")
    made = await poleward(
        rig, "keys", "create", keys, "--template", "demo", "--factory", factory, "--yes", "--json"
    )
    await poleward(rig, "keys", "publish", keys)
    asked = await poleward(rig, "keys", "directive", "--new", "--out", str(new), "--json")
    first, second = asked.json["directive_keys"]
    assert made.json["directive"]["keys"] == [first["key_id"]]
    assert (first["signs"], second["signs"]) == (True, False)
    assert new.read_text().strip() == second["public_key"]
    # A document with somebody else's key only would end every update.
    await poleward(
        rig, "keys", "rotate", keys, "--role", "directive", "--drop", first["key_id"],
        "--add", factory + ".pub", "--sign", root,
    )  # fmt: skip
    refused = await poleward(rig, "keys", "publish", keys)
    assert refused.code == REFUSED
    assert "poleward keys directive" in refused.complaint
