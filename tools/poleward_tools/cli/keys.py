"""Commands about who may sign: `poleward keys create|list|rotate|sign|publish|directive|…`.

Single release keys and signing releases: release.py.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from poleward_manifest import trust
from poleward_manifest.errors import EnvelopeError
from poleward_tools.cli import signing_keys
from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, progress, results
from poleward_tools.client import ClientError
from poleward_tools.demo.key_drill import drill as run_drill
from poleward_tools.demo.narration import TerminalNarrator
from poleward_tools.exit_codes import FAILED, OK, REFUSED, USAGE, CommandError, exit_code_of
from poleward_tools.releases import keys, trust_folder

app = typer.Typer(no_args_is_help=True, help="Who may sign releases: trust documents and keys.")

_ROLES = ("root", "release", "directive")
DaysOption = Annotated[int, typer.Option(min=1, help="Days until the document expires.")]
SignOption = Annotated[list[str] | None, typer.Option("--sign", help=signing_keys.KEY_HELP)]
PlaceArgument = Annotated[
    Path, typer.Argument(help="File of a trust document, or a folder: its newest.")
]


@app.command("create")
def create(
    folder: Annotated[Path, typer.Argument(help="Folder for keys and document.")],
    *,
    template: Annotated[
        str, typer.Option(help=f"How many keys: {', '.join(trust_folder.TEMPLATES)}.")
    ] = "production",
    directive: Annotated[
        list[Path] | None,
        typer.Option(help="Public directive key; may be given often. Else the fleet is asked."),
    ] = None,
    no_directive: Annotated[
        bool, typer.Option("--no-directive", help="Nodes need no word of the fleet's.")
    ] = False,
    factory: Annotated[
        list[str] | None,
        typer.Option(help="Private release key that fleet and nodes trust already."),
    ] = None,
    days: DaysOption = 730,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before writing.")] = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Make root keys, release keys and trust document number 1 that names them.

    The template production makes three of each, of which two sign. Move every private key to its
    holder and delete it here. The document also names the fleet's directive key, so that nodes
    install only what it directs.

    Example: `poleward keys create keys --factory old/release.pem`
    """
    if template not in trust_folder.TEMPLATES:
        raise CommandError(
            f"No template {template!r}; there are {', '.join(trust_folder.TEMPLATES)}.", USAGE
        )
    if not yes and not typer.confirm(f"Write private keys to {folder}?", err=True):
        raise CommandError("Nothing was written.")
    if directive and no_directive:
        raise CommandError("--directive and --no-directive exclude each other.", USAGE)
    with _explained():
        directive_keys = [keys.load_public_key(path) for path in directive or ()]
        if not directive_keys and not no_directive:
            directive_keys = [_newest_directive_key(fleet, token)]
        path = trust_folder.create(
            folder,
            trust_folder.TEMPLATES[template],
            directive_keys=directive_keys,
            factory_keys=[signing_keys.load(name) for name in factory or ()],
            expires_at_s=trust_folder.in_days(days),
        )
        _show(path, trust_folder.load(path), json)


@app.command("list")
def list_keys(
    place: Annotated[
        Path | None, typer.Argument(help="Document or folder to show; else what the fleet has.")
    ] = None,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Show the keys of a trust document and who signed it, or the keys that the fleet trusts.

    Example: `poleward keys list keys`
    """
    if place is not None:
        with _explained():
            path = trust_folder.newest(place)
            _show(path, trust_folder.load(path), json)
        return
    with open_client(fleet, token) as client:
        found = client.trust.get()
    if json:
        print_json(
            {
                "threshold": found.threshold,
                "keys": found.keys,
                "documents": [
                    {
                        "version": document.version,
                        "expires_at_ms": document.expires_at_ms,
                        "published_at_ms": document.published_at_ms,
                        "published_by": document.published_by,
                    }
                    for document in found.documents
                ],
                "directive_keys": found.directive_keys,
            }
        )
        return
    print_table(
        ("key", "name", "trusted", "revoked by"),
        ((key.key_id, key.name, age_text(key.trusted_at_ms), key.revoked_by) for key in found.keys),
    )
    newest = f"trust document {found.documents[-1].version}" if found.documents else "no document"
    results.print(f"{found.threshold} of them must sign a release ({newest}).")
    directors = ", ".join(key.key_id for key in found.directive_keys if key.signs)
    results.print(f"The fleet signs directives with {directors or 'no key: nobody asks for them'}.")


@app.command("rotate")
def rotate(
    place: PlaceArgument,
    *,
    role: Annotated[str, typer.Option(help=f"Whose keys change: {', '.join(_ROLES)}.")] = "release",
    add: Annotated[
        list[Path] | None, typer.Option(help="Public key to add; may be given often.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Id of a key to leave out; may be given often.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(min=1, help="How many keys of the role have to sign.")
    ] = None,
    sign: SignOption = None,
    days: DaysOption = 730,
    json: JsonOption = False,
) -> None:
    """Draw up the next trust document, beside the one it follows; nothing is published.

    As many root keys as both documents ask for have to sign it, here or with `keys sign`. Without a
    change it only lives longer.

    Example: `poleward keys rotate keys --drop 0a1b2c3d --add new.pem.pub --sign root-1.pem`
    """
    if role not in _ROLES:
        raise CommandError(f"No role {role!r}; there are {', '.join(_ROLES)}.", USAGE)
    with _explained():
        path = trust_folder.newest(place)
        before = trust.read(trust_folder.load(path))
        changed = trust_folder.changed(
            getattr(before, role),
            add=[keys.load_public_key(path) for path in add or ()],
            drop=drop or (),
            threshold=threshold,
        )
        document = trust.following(
            before, expires_at_s=trust_folder.in_days(days), **{role: changed}
        )
        signed = trust.sign(document, [signing_keys.load(name) for name in sign or ()])
        target = trust_folder.document_path(path.parent, document.version)
        trust_folder.save(target, signed)
        _show(target, signed, json)


@app.command("sign")
def sign(
    place: PlaceArgument,
    *,
    key: Annotated[list[str], typer.Option(help=signing_keys.KEY_HELP)],
    json: JsonOption = False,
) -> None:
    """Sign a trust document; signatures of other keys stay.

    Example: `poleward keys sign trust-2.cbor --key root-2.pem`
    """
    with _explained():
        path = trust_folder.newest(place)
        signed = trust_folder.load(path)
        for name in key:
            signed = trust.add_signature(signed, signing_keys.load(name))
        trust_folder.save(path, signed)
        _show(path, signed, json)


@app.command("publish")
def publish(
    place: PlaceArgument,
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Have the fleet, its gateways and their nodes follow a trust document.

    Refused (exit code 4) unless it follows the newest and enough root keys of both signed it.

    Example: `poleward keys publish keys/trust-2.cbor`
    """
    with _explained():
        signed = trust_folder.load(trust_folder.newest(place))
        trust.read(signed)
    with open_client(fleet, token) as client:
        version = client.trust.publish_document(signed)
    if json:
        print_json({"published": True, "version": version})
    else:
        results.print(f"Trust document {version} is published.")


@app.command("fetch")
def fetch(
    folder: Annotated[Path, typer.Argument(help="Folder for the documents.")],
    *,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Write the fleet's trust documents to files, for `poleward flash --trust` and for records.

    Each has to follow the one before (exit code 4). What is in the folder already must be the same.

    Example: `poleward keys fetch bench1/trust`
    """
    with open_client(fleet, token) as client:
        found = [document.document for document in client.trust.get().documents]
    with _explained():
        path = trust_folder.store_chain(folder, found)
        _show(path, trust_folder.load(path), json)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the release key, 16 hexadecimal digits.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit record.")],
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Have the fleet and its gateways refuse a release key at once; a second person has to agree.

    Nodes drop it with the next trust document: `poleward keys rotate --drop`.

    Example: `poleward keys revoke 0a1b2c3d4e5f6071 --reason "laptop stolen"`
    """
    try:
        encoded = bytes.fromhex(key_id)
    except ValueError:
        encoded = b""
    if len(encoded) != 8:
        raise CommandError(f"{key_id!r} is no key id of 16 hexadecimal digits.", USAGE)
    with open_client(fleet, token) as client:
        client.trust.revoke_key(encoded, reason)
    if json:
        print_json({"revoked": True, "key_id": encoded})
    else:
        results.print(f"Key {key_id} is revoked. Nodes drop it with the next trust document.")


@app.command("directive")
def directive_key(
    *,
    out: Annotated[Path | None, typer.Option(help="File for the newest public key.")] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Have the fleet make another key first.")
    ] = False,
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Show the fleet's own keys for directives, and write the newest for `keys rotate --add`.

    A key signs once the newest trust document names it. To change it, let one document name both
    and the next one drop the old: until then the old one signs.

    Example: `poleward keys directive --new --out directive-2.pub`
    """
    with open_client(fleet, token) as client:
        if new:
            client.trust.make_directive_key()
        found = client.trust.get().directive_keys
    if out is not None:
        with _explained():
            keys.save_public_key(out, found[-1].public_key)
    if json:
        print_json({"directive_keys": found, "file": str(out) if out else None})
        return
    print_table(
        ("key", "made", "signs"),
        ((key.key_id, age_text(key.made_at_ms), "yes" if key.signs else "no") for key in found),
    )


def _newest_directive_key(fleet: str | None, token: str | None) -> bytes:
    """Ask the fleet for the key that a first document names."""
    try:
        with open_client(fleet, token) as client:
            return client.trust.get().directive_keys[-1].public_key
    except ClientError as error:
        raise CommandError(
            f"{error} Its directive key goes into the document; give it with --directive, or say "
            "--no-directive.",
            exit_code_of(error),
        ) from error


@app.command("drill")
def drill(
    *,
    json: JsonOption = False,
) -> None:
    """Rehearse with a throw-away fleet, gateway and node: k of n, revocation, rotation, forgery.

    Exit 0 only if all of it held. Takes about two minutes.

    Example: `poleward keys drill --json`
    """
    started_at = time.monotonic()
    with TerminalNarrator(progress) as narrator:
        steps = run_drill(narrator)
    failed = [step for step in steps if not step.held]
    if json:
        seconds = round(time.monotonic() - started_at, 1)
        print_json({"held": not failed, "steps": steps, "seconds": seconds})
    else:
        print_table(
            ("", "what", "found"),
            (("held" if step.held else "FAILED", step.what, step.found) for step in steps),
        )
    raise typer.Exit(FAILED if failed else OK)


@contextmanager
def _explained() -> Iterator[None]:
    """Translate what can be wrong with files, keys and documents into exit codes."""
    try:
        yield
    except EnvelopeError as error:
        raise CommandError(f"Refused: {error}.", REFUSED) from error
    except (keys.ReleaseKeyError, trust_folder.TrustFileError) as error:
        raise CommandError(f"{error}.", USAGE) from error


def _show(path: Path, signed: bytes, json: bool) -> None:
    document = trust.read(signed)
    roles: dict[str, Any] = {
        name: {
            "threshold": getattr(document, name).threshold,
            "keys": [key_id.hex() for key_id in getattr(document, name).key_ids],
        }
        for name in _ROLES
    }
    signed_by = [key_id.hex() for key_id in trust.signers(signed)]
    if json:
        print_json(
            {
                "file": str(path),
                "version": document.version,
                "expires_at_s": document.expires_at_s,
                "signed_by": signed_by,
                **roles,
            }
        )
        return
    until = datetime.fromtimestamp(document.expires_at_s, UTC).date()
    results.print(f"Trust document {document.version} in {path}, until {until}")
    for name, role in roles.items():
        if role["keys"]:
            results.print(f"{name}: {role['threshold']} of {', '.join(role['keys'])}")
    results.print(f"signed by {', '.join(signed_by) or 'nobody yet'}")
