"""Makes the golden vectors of releases: envelopes and directives to judge, and whole releases.

Not a test: the vectors are committed, a test compares them with what this makes, and the node's own
reader is held against them on both Pythons. Run it to write them anew:
`PYTHONPATH=protos .venv/bin/python protos/poleward_manifest/tests/envelope_vectors.py`.
"""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nodelink import firmware_update
from nodelink.limits import BUNDLE_MAX_BYTES
from nodelink.release_format import CLASS_IDS
from poleward_manifest import bundle, cose, directive, envelope, image, patch, subject

FOLDER = Path(__file__).parents[2] / "nodelink" / "vectors"
PROFILE = "pole-basic"
OWN_SEQUENCE = 3
MAC = bytes.fromhex("02005e000001")
ROLLOUT = "return-2026-11"

_INTEGRITY = firmware_update.RESULT_INTEGRITY
_UNSUPPORTED = firmware_update.RESULT_UNSUPPORTED_PACKAGE
_NO_FLASH = firmware_update.RESULT_NO_FLASH


def _key(name: str) -> Ed25519PrivateKey:
    """Derive a key for tests; a real one comes from the operating system."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


FIRST, SECOND, STRANGER = _key("first"), _key("second"), _key("stranger")


def _noise(name: str, count: int) -> bytes:
    """Make bytes that do not compress."""
    blocks = (hashlib.sha256(f"{name} {i}".encode()).digest() for i in range(count // 32 + 1))
    return b"".join(blocks)[:count]


def _release(version: str, sequence: int) -> tuple[envelope.Manifest, bytes]:
    packed = bundle.pack(
        {
            "node/__init__.mpy": b"",
            "node/app.mpy": f"application {version} ".encode() * 90,
            "node/lwm2m/objects/lamp.mpy": _noise(version, 2300),
            "node/version.mpy": version.encode(),
            "nodelink/limits.mpy": b"limits",
        }
    )
    component = envelope.Component.of_bundle(packed)
    return envelope.Manifest(sequence, version, PROFILE, component), packed


def _stored(manifest: envelope.Manifest, packed: bytes) -> dict[str, Any]:
    return {
        "sequence": manifest.sequence,
        "version": manifest.version,
        "envelope": envelope.sign(manifest, [FIRST]).hex(),
        "bundle": packed.hex(),
        "archive": bundle.deflate(packed).hex(),
    }


def _replace(signed: bytes, path: tuple[int | str, ...], value: Any) -> bytes:
    """Replace something inside an envelope; "cbor" in the path steps into an encoded item."""

    def change(item: Any, steps: tuple[int | str, ...]) -> Any:
        if not steps:
            return value
        step, rest = steps[0], steps[1:]
        if step == "cbor":
            return cbor2.dumps(change(cbor2.loads(item), rest))
        if step == "tag":
            return cbor2.CBORTag(item.tag, change(item.value, rest))
        if isinstance(item, (list, tuple)):
            return [change(old, rest) if at == step else old for at, old in enumerate(item)]
        changed = {**item, step: change(item.get(step), rest)}
        return {key: changed[key] for key in changed if changed[key] is not None or key != step}

    return cbor2.dumps(change(cbor2.loads(signed), ("tag", *path)))


def _resigned(signed: bytes, *changes: tuple[tuple[int | str, ...], Any]) -> bytes:
    """Change the manifest, then give it the right digest and signature: the signer did it."""
    for path, value in changes:
        signed = _replace(signed, (3, "cbor", *path), value)
    manifest = cbor2.loads(signed).value[3]
    digest = cbor2.dumps([-16, hashlib.sha256(cbor2.dumps(manifest)).digest()])
    signed = _replace(signed, (2, "cbor", 0), digest)
    protected = cbor2.dumps({1: -19})
    signature = FIRST.sign(cbor2.dumps(["Signature1", protected, b"", digest]))
    return _replace(signed, (2, "cbor", 1, "cbor", "tag", 3), signature)


def make() -> dict[str, Any]:
    """Make the contents of all files by their names; the same every time."""
    manifest, packed = _release("1.4.0", 4)
    good = envelope.sign(manifest, [FIRST])
    both = envelope.sign(manifest, [FIRST, SECOND])
    unsigned = envelope.sign(manifest, [])
    kid_of_first = envelope.key_id(_public(FIRST))
    forged = _replace(
        envelope.sign(manifest, [STRANGER]), (2, "cbor", 1, "cbor", "tag", 1, 4), kid_of_first
    )
    parameters = (3, "cbor", 4, "cbor", 1)
    altered = good.replace(hashlib.sha256(packed).digest(), bytes(32))
    trusted, two = _public(FIRST), _public(FIRST) + _public(SECOND)
    cases: list[dict[str, Any]] = []

    def case(
        name: str,
        signed: bytes,
        result: int,
        error: str | None,
        *,
        keys: bytes = trusted,
        own_sequence: int = OWN_SEQUENCE,
        threshold: int = 1,
    ) -> None:
        cases.append(
            {
                "name": name,
                "envelope": signed.hex(),
                "trusted_keys": keys.hex(),
                "own_sequence": own_sequence,
                "threshold": threshold,
                "result": result,
                "error": error,
            }
        )

    case("signed by the trusted key", good, 0, None)
    case("signed by one of two trusted keys", good, 0, None, keys=two)
    with_image = replace(manifest, image=envelope.Component.of_image(_noise("image", 100)))
    case("with an image", envelope.sign(with_image, [FIRST]), 0, None)
    case("signed by two of two", both, 0, None, keys=two, threshold=2)
    untrusted = ("UntrustedKeyError", _INTEGRITY)
    case(
        "one signature where two are needed",
        good,
        untrusted[1],
        untrusted[0],
        keys=two,
        threshold=2,
    )
    twice = _replace(both, (2, "cbor", 2), cbor2.loads(cbor2.loads(good).value[2])[1])
    case(
        "the same signature twice is one", twice, untrusted[1], untrusted[0], keys=two, threshold=2
    )
    case("not signed", unsigned, untrusted[1], untrusted[0])
    case("signed by a stranger", envelope.sign(manifest, [STRANGER]), untrusted[1], untrusted[0])
    case("no key is trusted", good, untrusted[1], untrusted[0], keys=b"")
    case("signed by a stranger in the trusted key's name", forged, _INTEGRITY, "BadSignatureError")
    case(
        "signature altered",
        _replace(good, (2, "cbor", 1, "cbor", "tag", 3), bytes(64)),
        _INTEGRITY,
        "BadSignatureError",
    )
    other = envelope.sign(_release("1.5.0", 5)[0], [FIRST])
    case(
        "signature of another release",
        _replace(good, (2, "cbor", 1), cbor2.loads(cbor2.loads(other).value[2])[1]),
        _INTEGRITY,
        "BadSignatureError",
    )
    case("bundle digest altered", altered, _INTEGRITY, "DigestMismatchError")
    case("signed digest altered too", _redigested(altered), _INTEGRITY, "BadSignatureError")
    case("not newer than what runs", good, _UNSUPPORTED, None, own_sequence=4)
    case("older than what runs", good, _UNSUPPORTED, None, own_sequence=9)
    case(
        "for another board class",
        _resigned(good, ((*parameters, 2), bytes(16))),
        _UNSUPPORTED,
        "WrongClassError",
    )
    case(
        "of another vendor",
        _resigned(good, ((*parameters, 1), bytes(16))),
        _UNSUPPORTED,
        "WrongClassError",
    )
    case(
        "bundle too big",
        _resigned(good, ((*parameters, 14), BUNDLE_MAX_BYTES + 1)),
        _NO_FLASH,
        "TooBigError",
    )
    too_big = replace(with_image, image=envelope.Component("image", bytes(32), 1))
    case(
        "image too big",
        _resigned(
            envelope.sign(too_big, [FIRST]),
            ((3, "cbor", 4, "cbor", 11, 14), image.IMAGE_MAX_BYTES + 1),
        ),
        0,  # a node compares it with the partition that it has
        "TooBigError",
    )
    case("bundle empty", _resigned(good, ((*parameters, 14), 0)), _NO_FLASH, "TooBigError")
    malformed = (_UNSUPPORTED, "MalformedError")
    case("a command the node does not know", _resigned(good, ((20,), b"\x82\x15\x02")), *malformed)
    case("manifest version 2", _resigned(good, ((1,), 2)), *malformed)
    case("no version text", _resigned(good, ((6,), None)), *malformed)
    case(
        "two components",
        _resigned(good, ((3, "cbor", 2), [[b"bundle"], [b"image"]])),
        *malformed,
    )
    case(
        "the vendor of one component only",
        _resigned(envelope.sign(with_image, [FIRST]), ((3, "cbor", 4, "cbor", 1), 0)),
        *malformed,
    )
    case(
        "without the class condition",
        _resigned(good, ((3, "cbor", 4, "cbor", 4), 14)),
        *malformed,
    )
    case(
        "another signature algorithm",
        _replace(good, (2, "cbor", 1, "cbor", "tag", 0), cbor2.dumps({1: -7})),
        *malformed,
    )
    case(
        "payload attached",
        _replace(good, (2, "cbor", 1, "cbor", "tag", 2), b"payload"),
        *malformed,
    )
    case("another tag", b"\xd8\x6a" + good[2:], *malformed)
    case("without its tag", good[2:], *malformed)
    case("a byte after the end", good + b"\x00", *malformed)
    case("empty", b"", *malformed)
    for count in (1, 3, 40, 100, 200, len(good) - 1):
        case(f"cut after {count} bytes", good[:count], *malformed)
    case("not CBOR", b"\xff" * 40, *malformed)
    case("too long", good + bytes(4097 - len(good)), _NO_FLASH, "TooBigError")
    back = replace(manifest, downgrade=f"node:{MAC.hex()}")
    permitted = envelope.sign(back, [FIRST])
    case("permitted to go back to", permitted, 0, None, own_sequence=9)
    case("permitted to go back to, and running", permitted, _UNSUPPORTED, None, own_sequence=4)
    back_with_image = envelope.sign(replace(with_image, downgrade=back.downgrade), [FIRST])
    case("permitted to go back to, with an image", back_with_image, 0, None, own_sequence=9)
    for permission in ("node:0a0b0c0d0e0f", f"rollout:{ROLLOUT}", "rollout:9"):
        other = envelope.sign(replace(manifest, downgrade=permission), [FIRST])
        case(f"permitted for {permission} only", other, _UNSUPPORTED, None, own_sequence=9)
    at_permission = (*parameters, -256)
    for name, value in (("everybody", "*"), ("nobody", ""), ("a number", 7)):
        signed = _resigned(permitted, (at_permission, value))
        case(f"permission for {name}", signed, _UNSUPPORTED, "MalformedError", own_sequence=9)
    head = {
        "source": "Made by protos/poleward_manifest/tests/envelope_vectors.py.",
        "class_id": CLASS_IDS[PROFILE].hex(),
        "mac": MAC.hex(),
    }
    old, old_packed = _release("1.3.0", 3)
    # Two files: a node has no heap for both at once.
    return {
        "envelope.json": {**head, "bundle_bytes": len(packed), "cases": cases},
        "release.json": {
            **head,
            "trusted_keys": trusted.hex(),
            "old": _stored(old, old_packed),
            "new": _stored(manifest, packed),
            "patch": patch.make(old_packed, packed).hex(),
        },
        "directive.json": {**head, **_directives(envelope.envelope_digest(good))},
    }


def _directives(release: bytes) -> dict[str, Any]:
    """Make directives about the release "new" of release.json, and when a node is shown each."""
    good = directive.Directive(release, subject.of_node(MAC), ROLLOUT, 1_000, 2_000)
    signed = directive.sign(good, [SECOND])
    payload, block = cbor2.loads(signed)
    cases: list[dict[str, Any]] = []

    def case(name: str, encoded: bytes, result: int, error: str | None, now_s: int = 1_500) -> None:
        cases.append(
            {
                "name": name,
                "directive": encoded.hex(),
                "now_s": now_s,
                "result": result,
                "error": error,
            }
        )

    case("holds", signed, 0, None)
    case("holds from now on", signed, 0, None, 1_000)
    case("holds until now", signed, 0, None, 2_000)
    case("the clock is not set", signed, 0, None, 0)
    stale = firmware_update.RESULT_DEFERRED
    case("is over", signed, stale, None, 2_001)
    case("begins later", signed, stale, None, 999)
    for name, changed in (
        ("of another node", replace(good, subject="node:000000000000")),
        ("of a gateway", replace(good, subject="gateway:gw-1")),
        ("of another release", replace(good, release=bytes(32))),
    ):
        case(name, directive.sign(changed, [SECOND]), _INTEGRITY, "WrongSubjectError")
    case("by a release key", directive.sign(good, [FIRST]), _INTEGRITY, "UntrustedKeyError")
    case("not signed", directive.sign(good, []), _INTEGRITY, "UntrustedKeyError")
    later = cbor2.dumps([*cbor2.loads(payload)[:4], 9_000])
    case("made longer", cbor2.dumps([later, block]), _INTEGRITY, "BadSignatureError", 5_000)
    short = cbor2.dumps(cbor2.loads(payload)[:4])
    short = cbor2.dumps([short, cose.sign(short, SECOND)])
    case("without its end", short, _INTEGRITY, "MalformedError")
    for count in (0, 1, 20, len(signed) - 1):
        case(f"cut after {count} bytes", signed[:count], _INTEGRITY, "MalformedError")
    case("not CBOR", b"\xff" * 40, _INTEGRITY, "MalformedError")
    case("a number", b"\x00", _INTEGRITY, "MalformedError")
    return {"directive_key": _public(SECOND).hex(), "rollout": ROLLOUT, "cases": cases}


def _redigested(signed: bytes) -> bytes:
    digest = hashlib.sha256(cbor2.dumps(cbor2.loads(signed).value[3])).digest()
    return _replace(signed, (2, "cbor", 0), cbor2.dumps([-16, digest]))


def encode(vectors: dict[str, Any]) -> str:
    """Encode as the committed files have it."""
    return json.dumps(vectors, indent=1, sort_keys=False) + "\n"


if __name__ == "__main__":
    for name, vectors in make().items():
        (FOLDER / name).write_text(encode(vectors), encoding="utf-8")
        sys.stderr.write(f"wrote {FOLDER / name}\n")
