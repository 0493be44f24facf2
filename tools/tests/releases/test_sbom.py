import hashlib
import json

from poleward_tools.releases.build import build_release
from poleward_tools.releases.sbom import make_sbom


def test_every_file_of_a_release_is_in_its_bill_of_materials() -> None:
    built = build_release("1.4.0", 4)
    encoded = make_sbom(built)
    bill = json.loads(encoded)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    subject = bill["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("poleward-node", "1.4.0")
    assert subject["hashes"] == [{"alg": "SHA-256", "content": built.manifest.bundle.digest.hex()}]
    listed = {entry["name"]: entry["hashes"][0]["content"] for entry in bill["components"]}
    assert listed == {
        path: hashlib.sha256(content).hexdigest() for path, content in built.files.items()
    }
    assert make_sbom(built) == encoded
