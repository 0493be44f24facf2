"""What a release brings, held against its manifest: the right bytes, and of a form that can run.

Not who signed it (envelope.py). A node finds out in its trial that a bundle does not run; whoever
signs or publishes a release finds it out here.
"""

import hashlib

from poleward_manifest import bundle as bundles
from poleward_manifest import image as images
from poleward_manifest import wheel_set
from poleward_manifest.envelope import Component, Manifest
from poleward_manifest.errors import DigestMismatchError


def files_of(profile: str, component: bytes) -> dict[str, bytes]:
    """Split the component of a release into its files by path.

    Raises:
        MalformedError: it is not of the form that belongs to the profile.
        TooBigError: it exceeds the limit of that form.
    """
    if profile == wheel_set.PROFILE:
        return wheel_set.unpack(component)
    return bundles.unpack_application(component)


def check(manifest: Manifest, bundle: bytes, image: bytes | None) -> None:
    """Check that bundle and image are the ones the manifest names, and what they are to be.

    Raises:
        DigestMismatchError: one is another, or missing; build or fetch it again.
        MalformedError, TooBigError: one cannot run, whoever signed it; says what is wrong.
    """
    found = [Component(manifest.bundle.name, hashlib.sha256(bundle).digest(), len(bundle))]
    if image is not None:
        found.append(Component.of_image(image))
    if tuple(found) != manifest.components:
        shown, named = (
            ", ".join(f"{one.name} of {one.size_bytes} bytes {one.digest.hex()}" for one in some)
            for some in (found, manifest.components)
        )
        raise DigestMismatchError(
            f"here is {shown}, release {manifest.version} names {named}; fetch it again"
        )
    files_of(manifest.board_profile, bundle)
    if image is not None:
        images.check(image)
