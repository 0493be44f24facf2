"""The bundle: the node application's files as one deterministic CBOR sequence.

Not the form, which file_set.py has for every component of files.
"""

import re
import zlib
from collections.abc import Mapping

from nodelink.limits import BUNDLE_MAX_BYTES
from nodelink.release_format import DEFLATE_WBITS
from poleward_manifest.errors import DigestMismatchError, MalformedError
from poleward_manifest.file_set import FileSet

MAIN_MODULE = "node/app.mpy"
"""What main.py runs."""
_FORM = FileSet(
    "bundle",
    # What a node finds when it imports from its slot.
    re.compile(r"(node|nodelink)(/[a-z0-9_]+)+\.mpy"),
    ".mpy files below node/ and nodelink/",
    BUNDLE_MAX_BYTES,
)


def pack(files: Mapping[str, bytes]) -> bytes:
    """Join files into a bundle; the same files always give the same bytes.

    Args:
        files: contents by path as modules are imported, for example `node/app.mpy`.

    Raises:
        MalformedError: a path is not one of a node's modules.
        TooBigError: the bundle would exceed `BUNDLE_MAX_BYTES`.
    """
    return _FORM.pack(files)


def unpack(bundle: bytes) -> dict[str, bytes]:
    """Split a bundle into its files, in order.

    Raises:
        MalformedError: the bytes are not what `pack` makes.
        TooBigError: there are more than `BUNDLE_MAX_BYTES`.
    """
    return _FORM.unpack(bundle)


def unpack_application(bundle: bytes) -> dict[str, bytes]:
    """Split a bundle that a node can start into its files, in order.

    Raises:
        MalformedError: the bytes are not what `pack` makes, or there is nothing to start in them.
        TooBigError: there are more than `BUNDLE_MAX_BYTES`.
    """
    files = unpack(bundle)
    if MAIN_MODULE not in files:
        raise MalformedError(f"the bundle has no {MAIN_MODULE}, which nodes start; build it again")
    return files


def deflate(contents: bytes) -> bytes:
    """Compress for the way to the node: raw DEFLATE with the window a node has memory for."""
    # The version of zlib decides the exact bytes: fine, since digests are of the plain contents.
    compressor = zlib.compressobj(9, zlib.DEFLATED, -DEFLATE_WBITS, 9)
    return compressor.compress(contents) + compressor.flush()


def inflate(compressed: bytes, size_bytes: int) -> bytes:
    """Undo `deflate` where the plain size is known.

    Raises:
        DigestMismatchError: the result has another size, or the stream is not DEFLATE.
    """
    decompressor = zlib.decompressobj(-DEFLATE_WBITS)
    try:
        contents = decompressor.decompress(compressed, size_bytes + 1)
    except zlib.error as error:
        raise DigestMismatchError("the transfer is not raw DEFLATE; fetch it again") from error
    if len(contents) != size_bytes or not decompressor.eof or decompressor.unused_data:
        raise DigestMismatchError(
            f"the transfer does not inflate to {size_bytes} bytes; fetch it again"
        )
    return contents
