"""The simulated node's NVS behaves as the chip's, on the real VM."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from poleward_tools.virtual_board.shims import start_path


def run_on_vm(folder: Path, script: str) -> str:
    (folder / "flash").mkdir(exist_ok=True)
    (folder / "flash" / "boot.py").write_text("")
    (folder / "flash" / "main.py").write_text("import esp32\n" + script)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("micropython")), str(start_path()), str(folder)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_values_survive_a_reboot_after_commit(tmp_path: Path) -> None:
    run_on_vm(
        tmp_path,
        "n = esp32.NVS('boot')\n"
        "n.set_i32('slot', -7)\n"
        "n.set_blob('key', b'\\x00\\xff')\n"
        "n.commit()\n",
    )
    printed = run_on_vm(
        tmp_path,
        "n = esp32.NVS('boot')\n"
        "b = bytearray(4)\n"
        "print(n.get_i32('slot'), n.get_blob('key', b), b)\n",
    )
    assert printed == "-7 2 bytearray(b'\\x00\\xff\\x00\\x00')\n"
    stored = json.loads((tmp_path / "nvs.json").read_text())
    assert stored == {"boot": {"slot": -7, "key": "hex:00ff"}}


def test_what_was_not_committed_is_seen_but_not_durable(tmp_path: Path) -> None:
    printed = run_on_vm(
        tmp_path, "esp32.NVS('a').set_i32('x', 1)\nprint(esp32.NVS('a').get_i32('x'))\n"
    )
    assert printed == "1\n"
    assert not (tmp_path / "nvs.json").exists()


def test_namespaces_do_not_mix_and_foreign_keys_are_kept(tmp_path: Path) -> None:
    (tmp_path / "nvs.json").write_text('{"a": {"x": 1}, "b": {"x": 2}}')
    run_on_vm(tmp_path, "n = esp32.NVS('a')\nn.erase_key('x')\nn.commit()\n")
    assert json.loads((tmp_path / "nvs.json").read_text()) == {"a": {}, "b": {"x": 2}}


@pytest.mark.parametrize(
    "call",
    [
        "get_i32('absent')",
        "get_blob('absent', bytearray(1))",
        "erase_key('absent')",
        "get_i32('blob')",
        "get_blob('number', bytearray(9))",
        "get_blob('blob', bytearray(2))",
    ],
)
def test_an_absent_key_another_type_or_a_short_buffer_is_an_oserror(
    tmp_path: Path, call: str
) -> None:
    (tmp_path / "nvs.json").write_text('{"a": {"number": 1, "blob": "hex:010203"}}')
    printed = run_on_vm(
        tmp_path, f"try:\n    esp32.NVS('a').{call}\nexcept OSError:\n    print('refused')\n"
    )
    assert printed == "refused\n"
