"""`poleward gateway software`: which of its own releases a gateway runs, tries and keeps.

It reads the gateway's folder and changes nothing; rollouts bring releases (rollout.py).
"""

from typing import TYPE_CHECKING, Any

from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, print_table
from poleward_tools.cli.programs import ConfigOption, GatewayDataOption, gateway_config
from poleward_tools.exit_codes import USAGE, CommandError

if TYPE_CHECKING:
    from poleward_gateway.adapters.software.shelf import SoftwareShelf


def software(
    data: GatewayDataOption = None,
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a gateway's next start runs, what is on trial and what it can go back to.

    Example: `poleward gateway software --data /var/lib/poleward`
    """
    from poleward_gateway.adapters.software.shelf import SoftwareShelf
    from poleward_gateway.domain.errors import ConfigurationError

    try:
        folder = gateway_config(data, config, {}).software_dir
    except ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error
    if not folder.parent.is_dir():
        raise CommandError(f"{folder.parent} is no gateway's folder; name it with --data.", USAGE)
    shelf = SoftwareShelf(folder)
    record = shelf.record()
    found = {
        "confirmed": _release(shelf, record.confirmed),
        "trial": None if record.trial is None else _release(shelf, record.trial),
        "previous": _release(shelf, record.previous),
    }
    ended = record.ended
    if json:
        last = None if ended is None else {"state": ended.state.value, "reason": ended.reason}
        print_json({**found, "last_update": last})
        return
    print_table(
        ("release", "version", "sequence #", "digest"),
        (
            (name, release["version"], release["sequence"], release["digest"][:12] or "–")
            for name, release in found.items()
            if release is not None
        ),
    )
    if ended is not None:
        print_table(("last update", "why"), ((ended.state.value, ended.reason or "–"),))


def _release(shelf: "SoftwareShelf", digest: bytes) -> dict[str, Any]:
    names = shelf.names(digest) if digest else None
    return {
        "version": "as installed" if not digest else names.version if names else "damaged",
        "sequence": names.sequence if names else 0,
        "digest": digest.hex(),
    }
