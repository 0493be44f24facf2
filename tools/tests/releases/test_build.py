import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from poleward_manifest.errors import MalformedError, WrongClassError
from poleward_tools.releases.build import BuildError, build_release, find_firmware


def test_same_sources_give_the_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    elsewhere = tmp_path / "a folder elsewhere"
    shutil.copytree(find_firmware(), elsewhere, ignore=shutil.ignore_patterns("tests"))
    assert build_release("1.2.3", 7, firmware=elsewhere) == build_release("1.2.3", 7)


def test_bundle_holds_the_application_and_what_it_imports_and_no_more() -> None:
    paths = set(build_release("1.2.3", 7).files)
    assert {"node/app.mpy", "node/version.mpy", "node/ota/updater.mpy"} <= paths
    assert {"nodelink/__init__.mpy", "nodelink/limits.mpy"} <= paths
    assert "nodelink/objects.mpy" not in paths, "the table of all objects is not for the node"
    assert not [path for path in paths if "test" in path or path.endswith(".py")]


def test_bundle_holds_the_drivers_of_the_parts_that_boards_have() -> None:
    def drivers(*names: str) -> set[str]:
        files = build_release("1.2.3", 7, drivers=names or None).files
        folder = "node/board/drivers/"
        return {path.removeprefix(folder) for path in files if path.startswith(folder)}

    assert drivers() == {"__init__.mpy", "wifi.mpy", "pwm.mpy", "sht3x.mpy"}
    assert drivers("lan", "dlt645") == {"__init__.mpy", "lan.mpy", "dlt645.mpy"}
    simulated = build_release("1.2.3", 7, boards=["sim"]).files
    real = build_release("1.2.3", 7, boards=["esp32"]).files
    assert "node/board/sim.mpy" in set(simulated) - set(real)
    assert set(real) - set(simulated) == {
        *(f"node/board/{name}.mpy" for name in ("esp32", "parts")),
        *(f"node/board/drivers/{name}.mpy" for name in ("__init__", "wifi", "pwm", "sht3x")),
    }
    with pytest.raises(BuildError, match="no board toaster; there is esp32, sim"):
        build_release("1.2.3", 7, boards=["toaster"])
    with pytest.raises(BuildError, match=r"no driver coffee; there is .*dimmer.*pms"):
        drivers("lan", "coffee")


def test_version_and_sequence_are_in_the_application(tmp_path: Path) -> None:
    code = build_release("1.2.3", 7).files["node/version.mpy"]
    (tmp_path / "version.mpy").write_bytes(code)
    done = subprocess.run(
        [Path(sys.executable).with_name("micropython"), "-c",
         "import version; print(version.VERSION, version.SEQUENCE)"],
        cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "1.2.3 7"


def test_traceback_names_the_path_on_the_node_and_not_the_build_machine() -> None:
    release = build_release("1.2.3", 7)
    assert b"node/app.py" in release.files["node/app.mpy"]
    assert str(Path.home()).encode() not in release.bundle
    assert b"/tmp" not in release.bundle


def test_release_no_node_would_take_is_not_built() -> None:
    with pytest.raises(MalformedError, match=r"form 1\.2\.3"):
        build_release('1.0.0"\nimport os', 7)
    with pytest.raises(MalformedError, match="sequence"):
        build_release("1.0.0", 0)
    with pytest.raises(WrongClassError, match="pole-luxury"):
        build_release("1.0.0", 7, "pole-luxury")


def test_folder_without_the_application_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not a firmware folder"):
        build_release("1.0.0", 1, firmware=tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:\n", r"node/app\.py:1"),
        ("match 1:\n    case 1:\n        pass\n", r"node/app\.py does not compile"),
        ("from nodelink import nowhere\n", r"nodelink\.nowhere is imported"),
    ],
)
def test_source_that_does_not_compile_is_named(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "app.py").write_text(source)
    with pytest.raises(BuildError, match=message):
        build_release("1.0.0", 1, firmware=tmp_path)


def test_application_stays_within_its_budget() -> None:
    # A node without PSRAM has no heap for more; see docs/architecture.md.
    files = build_release("1.2.3", 7, boards=["esp32"]).files
    sizes = {path: len(code) for path, code in files.items()}
    assert sum(sizes.values()) <= 100 * 1024, sizes
