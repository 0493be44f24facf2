"""The bundle: the node application's files as one deterministic CBOR sequence.

Not signed by itself: the envelope names its digest and size.

Format: a CBOR sequence (RFC 8742) of text-string path, byte-string contents, path, contents, … with
paths ascending and none twice, all heads in their shortest form (RFC 8949, 4.2.1).
"""

import io
import re
import zlib
from collections.abc import Mapping

import cbor2

from nodelink.limits import BUNDLE_MAX_BYTES
from nodelink.release_format import DEFLATE_WBITS
from poleward_manifest.errors import DigestMismatchError, MalformedError, TooBigError

# What a node writes below its slot directory; it checks the same by itself.
_PATH = re.compile(r"(node|nodelink)(/[a-z0-9_]+)+\.mpy")


def pack(files: Mapping[str, bytes]) -> bytes:
    """Join files into a bundle; the same files always give the same bytes.

    Args:
        files: contents by path relative to the slot directory, for example `node/app.mpy`.

    Raises:
        MalformedError: a path is not one a node would write.
        TooBigError: the bundle would exceed `BUNDLE_MAX_BYTES`.
    """
    parts = []
    for path in sorted(files):
        _check_path(path)
        parts.append(cbor2.dumps(path))
        parts.append(cbor2.dumps(bytes(files[path])))
    bundle = b"".join(parts)
    if len(bundle) > BUNDLE_MAX_BYTES:
        raise TooBigError(
            f"the bundle has {len(bundle)} bytes, a node takes {BUNDLE_MAX_BYTES}; leave files out"
        )
    return bundle


def unpack(bundle: bytes) -> dict[str, bytes]:
    """Split a bundle into its files, in order.

    Raises:
        MalformedError: the bytes are not what `pack` makes.
        TooBigError: there are more than `BUNDLE_MAX_BYTES`.
    """
    if len(bundle) > BUNDLE_MAX_BYTES:
        raise TooBigError(f"the bundle has {len(bundle)} bytes, a node takes {BUNDLE_MAX_BYTES}")
    files: dict[str, bytes] = {}
    stream = io.BytesIO(bundle)
    while stream.tell() < len(bundle):
        try:
            path, contents = cbor2.load(stream), cbor2.load(stream)
        except (cbor2.CBORDecodeError, EOFError) as error:
            raise MalformedError(
                f"the bundle is cut or not CBOR at byte {stream.tell()}"
            ) from error
        if not isinstance(path, str) or not isinstance(contents, bytes):
            raise MalformedError(
                f"the bundle does not alternate paths and contents at {stream.tell()}"
            )
        _check_path(path)
        files[path] = contents
    if not files:
        raise MalformedError("the bundle is empty")
    if pack(files) != bundle:
        raise MalformedError("the bundle is not in its one canonical form; build it again")
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


def _check_path(path: str) -> None:
    if not _PATH.fullmatch(path):
        raise MalformedError(
            f"the bundle names {path!r}; only .mpy files below node/ and nodelink/ belong in it"
        )
