"""Commands about releases and their keys: `poleward release key|build|sign|verify|publish|…`.

Bringing a release to nodes is a rollout, see rollout.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from nodelink.release_format import CLASS_IDS
from poleward_manifest import bundle as bundles
from poleward_manifest import contents, wheel_set
from poleward_manifest import envelope as envelopes
from poleward_manifest import image as images
from poleward_manifest.errors import EnvelopeError
from poleward_manifest.overview import overview
from poleward_manifest.signatures import public_bytes
from poleward_tools.cli import signing_keys
from poleward_tools.cli.options import FleetOption, JsonOption, TokenOption, open_client
from poleward_tools.cli.output import age_text, print_json, print_table, results
from poleward_tools.exit_codes import FAILED, REFUSED, USAGE, CommandError
from poleward_tools.releases import build as building
from poleward_tools.releases import folder as folders
from poleward_tools.releases import gateway_build, keys
from poleward_tools.releases.sbom import make_sbom

app = typer.Typer(no_args_is_help=True, help="Releases: signed software for nodes and gateways.")

FolderArgument = Annotated[Path, typer.Argument(help="Folder of the release.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before writing.")]


@app.command("key")
def key(
    path: Annotated[Path, typer.Argument(help="File for the private key; .pub is added beside.")],
    *,
    hss_lms: Annotated[
        bool,
        typer.Option("--hss-lms", help="Hold against quantum computers: 1,024 signatures."),
    ] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Make a release key, the private half readable by you only.

    An HSS-LMS key changes with each signature: keep one copy of it only, and no backup.

    Example: `poleward release key keys/release.pem`
    """
    if not yes and not typer.confirm(f"Write a private key to {path}?", err=True):
        raise CommandError("Nothing was written.")
    with _explained():
        made = keys.create_hss_lms_key(path) if hss_lms else keys.create_key(path)
    public_key = public_bytes(made)
    if json:
        print_json(
            {
                "private": str(path),
                "public": str(keys.public_path(path)),
                "key_id": envelopes.key_id(public_key),
                "public_key": public_key,
            }
        )
        return
    results.print(f"Key {envelopes.key_id(public_key).hex()}: {path}, {keys.public_path(path)}")
    results.print("Keep the first offline. The second goes to the fleet: poleward release trust")


@app.command("public-key")
def public_key(
    key: Annotated[str, typer.Argument(help="Private key, a file or pkcs11: URI.")],
    out: Annotated[Path, typer.Argument(help="File for the public half.")],
    *,
    json: JsonOption = False,
) -> None:
    """Write the public half of a private key, also of one in a token.

    Example: `poleward release public-key "pkcs11:token=releases;object=key-1" keys/key-1.pub`
    """
    with _explained():
        public = public_bytes(signing_keys.load(key))
        keys.save_public_key(out, public)
    key_id = envelopes.key_id(public)
    if json:
        print_json({"public": str(out), "key_id": key_id, "public_key": public})
    else:
        results.print(f"Key {key_id.hex()}: {out}. It goes to the fleet: poleward release trust")


@app.command("build")
def build(
    version: Annotated[str, typer.Argument(help="Three numbers, for example 1.4.0.")],
    *,
    sequence: Annotated[int, typer.Option(min=1, help="Higher than that of every release before.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; else release-VERSION.")] = None,
    board_profile: Annotated[
        str, typer.Option(help=f"Kind of board: {', '.join(CLASS_IDS)}.")
    ] = "pole-basic",
    firmware: Annotated[
        Path | None, typer.Option(help="Folder with the node's sources; else the installed ones.")
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(help=f"What nodes run on: {', '.join(building.BOARDS)}; else both."),
    ] = None,
    driver: Annotated[
        list[str] | None,
        typer.Option(
            help="Driver of a part the boards have, several times; else "
            f"{', '.join(building.USUAL_DRIVERS)}. Others are left out."
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="MicroPython's application image that nodes shall run with it."),
    ] = None,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Software of gateways, not of nodes.")
    ] = False,
    wheels: Annotated[
        Path | None,
        typer.Option(help="With --gateway: folder of wheels of dependencies to take along."),
    ] = None,
    allow_downgrade: Annotated[
        str,
        typer.Option(help="Who may go back to it: node:MAC, gateway:NAME or rollout:NAME."),
    ] = "",
    json: JsonOption = False,
) -> None:
    """Compile the node's sources into a bundle, or pack the gateway's; nothing is signed yet.

    The same sources give the same bytes. What is in it is listed in sbom.cdx.json (CycloneDX).
    With --image nodes get that MicroPython, too, and try and keep both together.
    Gateways number their releases apart from nodes. To go back to a release, build the same once
    more with --allow-downgrade.

    Example: `poleward release build 1.4.0 --sequence 4 --board esp32 --driver lan`
    """
    if wheels and not gateway:
        raise CommandError("--wheels goes with --gateway.", USAGE)
    if gateway and (firmware or board or driver or image):
        raise CommandError(
            "--firmware, --board, --driver and --image are for nodes, not --gateway.", USAGE
        )
    folder = out or Path(f"release-{version}")
    image_content = None if image is None else _read(image)
    with _explained(refusal=USAGE):
        if gateway:
            built = gateway_build.build_gateway_release(version, sequence, dependencies=wheels)
        else:
            built = building.build_release(
                version,
                sequence,
                board_profile,
                firmware=firmware,
                boards=board or building.BOARDS,
                drivers=driver,
                image=image_content,
            )
        manifest = replace(built.manifest, downgrade=allow_downgrade)
        stored = folders.StoredRelease(built.bundle, envelopes.sign(manifest, []), image_content)
        folders.save(folder, stored)
        folders.save_sbom(folder, make_sbom(built))
    _show(folder, stored, json)


@app.command("sign")
def sign(
    folder: FolderArgument,
    *,
    key: Annotated[list[str], typer.Option(help=signing_keys.KEY_HELP)],
    json: JsonOption = False,
) -> None:
    """Sign a release; signatures of other keys stay.

    A key in a token is a pkcs11: URI (RFC 7512), for example "pkcs11:token=releases;object=key-1".
    Its library is module-path in the URI or POLEWARD_PKCS11_MODULE, its PIN POLEWARD_PKCS11_PIN,
    or you are asked.

    Example: `poleward release sign release-1.4.0 --key keys/release.pem`
    """
    with _explained():
        stored = folders.load(folder)
        envelope = stored.envelope
        for name in key:
            envelope = envelopes.add_signature(envelope, signing_keys.load(name))
        stored = replace(stored, envelope=envelope)
        folders.save(folder, stored)
    _show(folder, stored, json)


@app.command("verify")
def verify(
    folder: FolderArgument,
    *,
    key: Annotated[list[Path], typer.Option(help="Trusted public key; may be given often.")],
    threshold: Annotated[int, typer.Option(min=1, help="How many of them must have signed.")] = 1,
    json: JsonOption = False,
) -> None:
    """Check a release as gateways and nodes do; exit code 4 when they would refuse it.

    Example: `poleward release verify release-1.4.0 --key keys/release.pem.pub`
    """
    with _explained():
        stored = folders.load(folder)
        trusted = [keys.load_public_key(path) for path in key]
        manifest = envelopes.verify(stored.envelope, trusted, threshold)
    if json:
        print_json({"verified": True, **_facts(folder, stored)})
    else:
        results.print(f"Release {manifest.version} ({manifest.sequence}) is signed and whole.")
        if manifest.downgrade:
            results.print(f"May go back to it: {manifest.downgrade}")


@app.command("inspect")
def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder of a release, or file of any envelope.")],
    *,
    files: Annotated[bool, typer.Option("--files", help="List the files, too.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what a release says about itself, without judging its signatures.

    A single file is read as a SUIT envelope, whoever made it, and with why a node would refuse it.

    Example: `poleward release inspect release-1.4.0 --files`
    """
    if folder.is_file():
        _show_envelope(folder, json)
        return
    with _explained():
        stored = folders.load(folder)
        profile = envelopes.read(stored.envelope).board_profile
        held = contents.files_of(profile, stored.bundle)
    sizes = [{"path": path, "bytes": len(content)} for path, content in held.items()]
    if json:
        print_json({**_facts(folder, stored), "files": sizes})
        return
    _show(folder, stored, json)
    if files:
        print_table(("file", "bytes"), ((entry["path"], entry["bytes"]) for entry in sizes))


@app.command("trust")
def trust(
    key: Annotated[Path, typer.Argument(help="Public key, the .pub file.")],
    *,
    name: Annotated[str, typer.Option(help="Name for people.")],
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Have the fleet and its gateways trust a release key; nodes learn theirs at the factory.

    Example: `poleward release trust keys/release.pem.pub --name "release team"`
    """
    with _explained():
        public_key = keys.load_public_key(key)
    with open_client(fleet, token) as client:
        client.trust.trust_key(public_key, name)
    key_id = envelopes.key_id(public_key)
    if json:
        print_json({"trusted": True, "key_id": key_id, "name": name})
    else:
        results.print(f"Key {key_id.hex()} is trusted as {name}.")


@app.command("publish")
def publish(
    folder: FolderArgument,
    *,
    notes: Annotated[str, typer.Option(help="What is new, for people.")] = "",
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """Upload a signed release and its bill of materials.

    The fleet refuses one that its keys did not sign (exit code 4).

    Example: `poleward release publish release-1.4.0 --notes "Longer lamp life"`
    """
    with _explained():
        stored = folders.load(folder)
    with open_client(fleet, token) as client:
        client.upload_artifact(stored.bundle)
        if stored.image is not None:
            client.upload_artifact(stored.image)
        digest = client.publish_release(stored.envelope, notes, folders.load_sbom(folder))
    version = envelopes.read(stored.envelope).version
    if json:
        print_json({"published": True, "digest": digest, "version": version})
    else:
        results.print(f"Release {version} is published as {digest.hex()[:12]}.")
        results.print(f"Bring it there: poleward rollout create {version}")


@app.command("list")
def list_all(
    *, fleet: FleetOption = None, token: TokenOption = None, json: JsonOption = False
) -> None:
    """List the published releases, newest first.

    Example: `poleward release list`
    """
    with open_client(fleet, token) as client:
        releases = client.list_releases()
    if json:
        print_json({"releases": releases})
        return
    print_table(
        ("release", "sequence #", "for", "bytes #", "published", "digest", "notes"),
        (
            (release.version, release.sequence, release.board_profile,
             release.bundle_bytes + release.image_bytes, age_text(release.published_at_ms) + " ago",
             release.digest.hex()[:12], release.notes)
            for release in releases
        ),
    )  # fmt: skip


@app.command("affected")
def affected(
    *,
    component: Annotated[str, typer.Option(help="Name as in the bills of materials.")],
    below: Annotated[str, typer.Option(help="Versions below this one, for example 1.2.3.")],
    fleet: FleetOption = None,
    token: TokenOption = None,
    json: JsonOption = False,
) -> None:
    """List the nodes that run a component below a version.

    Example: `poleward release affected --component mpy-cross --below 1.27`
    """
    with open_client(fleet, token) as client:
        total, nodes = client.list_affected(component, below)
    if json:
        print_json({"total": total, "nodes": nodes})
        return
    print_table(
        ("node #", "pole", "release", component, "endpoint"),
        (
            (node.number, node.pole_code or "–", node.release_version, node.component_version,
             node.endpoint_name)
            for node in nodes
        ),
    )  # fmt: skip
    more = f", of which these are the first {len(nodes)}" if len(nodes) < total else ""
    results.print(f"{total} nodes run {component} below {below}{more}.")


def _show_envelope(path: Path, json: bool) -> None:
    with _explained():
        found = overview(path.read_bytes())
    if json:
        print_json(asdict(found))
        return
    results.print(f"Envelope of version {found.version or 'unknown'} ({found.sequence})")
    results.print(f"components {', '.join(found.components)}; {found.size_bytes} bytes")
    if found.downgrade:
        results.print(f"may go back to it: {found.downgrade}")
    results.print(f"{found.signatures} signatures; intact: {'yes' if found.is_intact else 'no'}")
    results.print(f"Refused: {found.refusal}" if found.refusal else "It has the form we take.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.", USAGE) from error


@contextmanager
def _explained(refusal: int = REFUSED) -> Iterator[None]:
    """Translate what can be wrong with files, keys and releases into exit codes."""
    try:
        yield
    except EnvelopeError as error:
        raise CommandError(f"Refused: {error}.", refusal) from error
    except building.BuildError as error:
        raise CommandError(f"Not built: {error}.", FAILED) from error
    except (keys.ReleaseKeyError, folders.ReleaseFolderError) as error:
        raise CommandError(f"{error}.", USAGE) from error


def _facts(folder: Path, stored: folders.StoredRelease) -> dict[str, Any]:
    manifest = envelopes.read(stored.envelope)
    is_gateway = manifest.board_profile == wheel_set.PROFILE
    return {
        "folder": str(folder),
        "version": manifest.version,
        "sequence": manifest.sequence,
        "board_profile": manifest.board_profile,
        "envelope_digest": envelopes.envelope_digest(stored.envelope),
        "envelope_bytes": len(stored.envelope),
        "bundle_digest": manifest.bundle.digest,
        "bundle_bytes": manifest.bundle.size_bytes,
        "image_digest": manifest.image.digest if manifest.image else None,
        "image_bytes": manifest.image.size_bytes if manifest.image else 0,
        "transfer_bytes": len(stored.bundle if is_gateway else bundles.deflate(stored.bundle))
        + (len(images.encode(stored.image)) if stored.image else 0),
        "downgrade": manifest.downgrade,
        "signed_by": [kid.hex() for kid in envelopes.signers(stored.envelope)],
    }


def _show(folder: Path, stored: folders.StoredRelease, json: bool) -> None:
    facts = _facts(folder, stored)
    if json:
        print_json(facts)
        return
    signers = ", ".join(facts["signed_by"]) or "nobody yet"
    results.print(
        f"Release {facts['version']} ({facts['sequence']}) for {facts['board_profile']} in {folder}"
    )
    image = f", image of {facts['image_bytes']} bytes" if facts["image_bytes"] else ""
    results.print(
        f"{facts['bundle_bytes']} bytes{image}; {facts['transfer_bytes']} on the last link"
    )
    if facts["downgrade"]:
        results.print(f"may go back to it: {facts['downgrade']}")
    results.print(f"signed by {signers}")
