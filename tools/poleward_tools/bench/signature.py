"""The benchmark `signature`: how long a node takes to verify a release, with either kind of key.

Not the download around it. The envelope is one that `poleward release sign` would make; the node's
own code reads and verifies it on the MicroPython VM.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nodelink.release_format import CLASS_IDS
from poleward_manifest import signatures
from poleward_manifest.envelope import sign
from poleward_tools.bench.node_report import micropython_command
from poleward_tools.releases import build

_ON_VM = Path(__file__).parent / "signature_on_vm.py"
_TIMEOUT_S = 60
_PROFILE = "pole-basic"


class SignatureBenchError(Exception):
    """The node refused a good signature; the message holds what it printed."""


def run() -> dict[str, Any]:
    """Verify one release signed with each kind of key; return the figures.

    - `envelope_bytes`: what travels.
    - `verify_ms`: reading and verifying it on the VM, median of runs.

    Raises:
        SignatureBenchError: the node refused it.
    """
    built = build.build_release("1.0.0", 1)
    hss_lms = signatures.HssLmsKey(signatures.HssLmsKey.generate(), lambda state: None)
    kinds: list[tuple[str, signatures.SigningKey]] = [
        ("Ed25519", Ed25519PrivateKey.generate()),
        ("HSS-LMS, SHA-256, H10, W4", hss_lms),
    ]
    with tempfile.TemporaryDirectory(prefix="poleward-bench-") as name:
        place = Path(name)
        for path, code in built.files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(code)
        figures = []
        for kind, key in kinds:
            envelope = sign(built.manifest, [key])
            (place / "envelope").write_bytes(envelope)
            public_key = signatures.public_bytes(key).hex()
            done = subprocess.run(
                micropython_command(_ON_VM, name, public_key, CLASS_IDS[_PROFILE].hex()),
                capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
            )  # fmt: skip
            if done.returncode:
                raise SignatureBenchError(f"{kind}: {done.stdout}{done.stderr}")
            times_ms = sorted(json.loads(done.stdout))
            figures.append(
                {
                    "name": kind,
                    "envelope_bytes": len(envelope),
                    "verify_ms": times_ms[len(times_ms) // 2],
                }
            )
    return {"algorithms": figures}
