"""Files as one deterministic CBOR sequence: the form of every component that holds files.

Not signed by itself: the envelope names its digest and size.

Format: a CBOR sequence (RFC 8742) of text-string path, byte-string contents, path, contents, … with
paths ascending and none twice, all heads in their shortest form (RFC 8949, 4.2.1).
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass

import cbor2

from poleward_manifest.errors import MalformedError, TooBigError


@dataclass(frozen=True, slots=True)
class FileSet:
    """One kind of component that holds files.

    Attributes:
        name: of the kind, for people.
        path: what a path in it looks like.
        paths_are: the same for people.
        limit_bytes: it has no more, heads included.
    """

    name: str
    path: re.Pattern[str]
    paths_are: str
    limit_bytes: int

    def pack(self, files: Mapping[str, bytes]) -> bytes:
        """Join files; the same files always give the same bytes.

        Raises:
            MalformedError: a path does not belong in it.
            TooBigError: it would exceed its limit.
        """
        parts = []
        for path in sorted(files):
            self._check_path(path)
            parts.append(cbor2.dumps(path))
            parts.append(cbor2.dumps(bytes(files[path])))
        packed = b"".join(parts)
        self._check_size(packed)
        return packed

    def unpack(self, packed: bytes) -> dict[str, bytes]:
        """Split it into its files, in order.

        Raises:
            MalformedError: the bytes are not what `pack` makes.
            TooBigError: there are more than its limit.
        """
        self._check_size(packed)
        files: dict[str, bytes] = {}
        stream = io.BytesIO(packed)
        while stream.tell() < len(packed):
            try:
                path, contents = cbor2.load(stream), cbor2.load(stream)
            except (cbor2.CBORDecodeError, EOFError) as error:
                raise MalformedError(
                    f"the {self.name} is cut or not CBOR at byte {stream.tell()}"
                ) from error
            if not isinstance(path, str) or not isinstance(contents, bytes):
                raise MalformedError(
                    f"the {self.name} does not alternate paths and contents at {stream.tell()}"
                )
            self._check_path(path)
            files[path] = contents
        if not files:
            raise MalformedError(f"the {self.name} is empty")
        if self.pack(files) != packed:
            raise MalformedError(
                f"the {self.name} is not in its one canonical form; build it again"
            )
        return files

    def _check_size(self, packed: bytes) -> None:
        if len(packed) > self.limit_bytes:
            raise TooBigError(
                f"the {self.name} has {len(packed)} bytes, {self.limit_bytes} are taken; "
                "leave files out"
            )

    def _check_path(self, path: str) -> None:
        if not self.path.fullmatch(path):
            raise MalformedError(f"the {self.name} names {path!r}; only {self.paths_are} belong in")
