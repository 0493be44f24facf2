"""The files of a bundle where it lies; on MicroPython also mounted and imported from."""

import random
import sys

from slot_files import SlotFiles
from vm.scratch import Scratch

from node.codec import cbor

_FILES = (
    ("node/__init__.mpy", b""),
    ("node/app.mpy", b"short"),
    ("node/lwm2m/objects/lamp.mpy", bytes(300)),
    ("nodelink/limits.mpy", b"x" * 700),
)


def _bundle(files=_FILES):
    writer = cbor.Writer(bytearray(80 * len(files) + sum([len(file) for _, file in files])))
    for path, contents in files:
        writer.text(path.encode())
        writer.blob(contents)
    return bytes(writer.buffer[: writer.length])


def _written(scratch, contents):
    with open(scratch + "/bundle", "wb") as file:
        file.write(contents)
    return scratch + "/bundle"


def _is_missing(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return error.args[0] == 2
    return False


def test_every_file_is_found_where_its_contents_begin():
    with Scratch() as scratch:
        files = SlotFiles(_written(scratch, _bundle()))
        for path, contents in _FILES:
            assert files.stat("/" + path)[0] == 0x8000
            with files.open("/" + path, "rb") as file:
                assert file.read(len(contents)) == contents


def test_heads_need_not_be_short():
    with Scratch() as scratch:
        path = _written(scratch, b"\x78\x07a/b.mpy\x5a\x00\x00\x00\x02ok")
        with SlotFiles(path).open("/a/b.mpy", "rb") as file:
            assert file.read(2) == b"ok"


def test_directories_are_no_files_and_nothing_else_is_there():
    with Scratch() as scratch:
        files = SlotFiles(_written(scratch, _bundle()))
        for path in ("/node", "/node/lwm2m", "/node/lwm2m/objects", "/nodelink"):
            assert files.stat(path)[0] == 0x4000
        for path in ("/", "", "/node/app.py", "/node/app", "/no", "node", "/node/", "/nodelin"):
            assert _is_missing(files.stat, path), path
        assert _is_missing(files.open, "/node/app.py", "rb")


def test_nothing_opened_can_be_written():
    with Scratch() as scratch:
        bundle = _bundle()
        path = _written(scratch, bundle)
        SlotFiles(path).open("/node/app.mpy", "wb").close()
        with open(path, "rb") as file:
            assert file.read(len(bundle) + 1) == bundle


def test_what_is_no_bundle_is_refused_in_time_and_room():
    good = _bundle(_FILES[:3])
    broken = [good[:end] for end in range(1, len(good), 7) if end not in _ends(_FILES[:3])]
    for head in (b"\x5b" + b"\xff" * 8, b"\x7b" + b"\xff" * 8, b"\x7f", b"\xff", b"\x60", b"\x78"):
        broken += [head, good + head, b"\x61a" + head, head * 50]
    broken.append(b"\x61\xff\x40")
    random.seed(61)
    for _ in range(200):
        broken.append(bytes([random.getrandbits(8) for _ in range(1 + random.getrandbits(7))]))
    with Scratch() as scratch:
        for contents in broken:
            path = _written(scratch, contents)
            try:
                SlotFiles(path)
            except (ValueError, IndexError):
                continue
            raise AssertionError(contents)


def _ends(files):
    return [len(_bundle(files[:count])) for count in range(len(files) + 1)]


def test_of_two_files_with_one_path_the_first_is_taken():
    with Scratch() as scratch:
        files = SlotFiles(_written(scratch, _bundle((("a/b.mpy", b"1"), ("a/b.mpy", b"2")))))
        with files.open("/a/b.mpy", "rb") as file:
            assert file.read(1) == b"1"


def test_names_that_meet_in_the_middle_of_others_are_told_apart():
    with Scratch() as scratch:
        files = SlotFiles(_written(scratch, _bundle()))
        places = dict(zip(("/node/app.mpy", "/node"), (b"\1\2\3\4", b"\3\4\1\2")))
        files._names = b"\1\2\3\4\1\2\3\4\3\4\1\2"
        files._places = (7, 8, 9)
        import slot_files

        before = slot_files._name
        slot_files._name = lambda path: places[path]
        try:
            assert files._place("/node/app.mpy") == 7
            assert files._place("/node") == 9
        finally:
            slot_files._name = before


def test_modules_are_imported_from_the_mounted_bundle():
    if sys.implementation.name != "micropython":
        return
    import os

    import vfs

    with open(sys.modules["node.codec"].__file__, "rb") as file:
        package = file.read(1000)  # an empty module, compiled
    with Scratch() as scratch:
        parts = (("parcel/__init__.mpy", package), ("parcel/inner.mpy", package))
        vfs.mount(SlotFiles(_written(scratch, _bundle(parts))), "/parcels")
        sys.path.insert(0, "/parcels")
        import parcel.inner

        assert parcel.inner.__file__ == "/parcels/parcel/inner.mpy"
        assert os.stat("/parcels/parcel")[0] == 0x4000
