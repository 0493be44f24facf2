"""Makes the folder's own modules importable and undoes what a node in RAM changed in node.ota."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _real_flash_afterwards() -> Iterator[None]:
    import boot

    from node.ota import archives, component, ed25519, image, installer, updater

    changed = (boot, archives, component, ed25519, image, installer, updater)
    before = [dict(vars(module)) for module in changed]
    yield
    for module, names in zip(changed, before, strict=True):
        vars(module).clear()
        vars(module).update(names)
