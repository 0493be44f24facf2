"""Commands that run or enrol the two programs: fleet and gateway.

They only fill in configurations; the programs' bootstrap modules do the work.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poleward_tools.cli.options import JsonOption
from poleward_tools.cli.output import print_json, print_table, results
from poleward_tools.exit_codes import FAILED, OK, REFUSED, UNREACHABLE, USAGE, CommandError

if TYPE_CHECKING:
    from poleward_gateway.config import GatewayConfig

fleet_app = typer.Typer(no_args_is_help=True, help="The fleet manager.")
gateway_app = typer.Typer(no_args_is_help=True, help="An edge gateway.")

# Other people on the machine can read a command line, but not an environment.
ENROLLMENT_VARIABLE = "POLEWARD_ENROLLMENT_TOKEN"

KeyOption = Annotated[
    str | None,
    typer.Option(
        help="Key that seals secrets on disk: file:PATH, env:NAME or command:WORDS, e.g. of a TPM; "
        "without it a file beside the data."
    ),
]
GatewayDataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Folder for everything it keeps.  [default: data/gateway]"),
]
ConfigOption = Annotated[
    Path | None, typer.Option(help="TOML file of settings; options given here count more.")
]
DataOption = Annotated[Path, typer.Option("--data", help="Folder for everything it keeps.")]


@fleet_app.command("serve")
def fleet_serve(
    data: DataOption = Path("data/fleet"),
    *,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="POLEWARD_DATABASE_URL",
            help="postgresql://… to use; without it an embedded PostgreSQL starts.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public_host: Annotated[
        str | None, typer.Option(help="Name under which others reach this machine.")
    ] = None,
    openid: Annotated[
        Path | None, typer.Option(help="Settings of an OpenID provider (TOML) to sign in at.")
    ] = None,
    web_port: Annotated[int, typer.Option(help="Web pages; 0 chooses a free port.")] = 8080,
    api_port: Annotated[int, typer.Option(help="API for people and programs.")] = 7443,
    link_port: Annotated[int, typer.Option(help="Link to the gateways.")] = 7444,
    metrics_port: Annotated[
        int | None, typer.Option(help="Prometheus on 127.0.0.1; 0 chooses a free port.")
    ] = None,
) -> None:
    """Run the fleet manager until Ctrl-C.

    Its addresses are in DATA/run/fleet.json, the first administrator in DATA/admin.json.

    Example: `poleward fleet serve --data /var/lib/poleward --host 0.0.0.0`
    """
    from poleward_fleet import bootstrap
    from poleward_fleet.config import FleetConfig

    config = FleetConfig(
        data_dir=data.resolve(),
        database_url=database_url,
        host=host,
        web_port=web_port,
        api_port=api_port,
        link_port=link_port,
        public_host=public_host,
        openid_file=openid,
        metrics_port=metrics_port,
    )
    raise typer.Exit(asyncio.run(bootstrap.serve(config)))


@gateway_app.command("enroll")
def gateway_enroll(
    fleet: Annotated[str, typer.Option(help="Web address of the fleet.")],
    token: Annotated[
        str,
        typer.Option(envvar=ENROLLMENT_VARIABLE, help="One-time token from the fleet."),
    ],
    *,
    data: DataOption = Path("data/gateway"),
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Exchange a one-time token for this gateway's certificate.

    Example: `poleward gateway enroll --fleet http://fleet.example:8080 --token T`
    """
    from poleward_gateway import bootstrap
    from poleward_gateway.domain import errors

    try:
        name = asyncio.run(bootstrap.enroll(data.resolve(), fleet, token, key or ""))
    except errors.ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error
    except errors.PeerUnreachableError as error:
        raise CommandError(str(error), UNREACHABLE) from error
    except errors.RefusedError as error:
        raise CommandError(str(error), REFUSED) from error
    if json:
        print_json({"gateway": name, "data": str(data.resolve())})
    else:
        results.print(f"Enrolled as {name}. Next: poleward gateway serve --data {data}")


@gateway_app.command("serve")
def gateway_serve(
    data: GatewayDataOption = None,
    *,
    config: ConfigOption = None,
    coap_host: Annotated[
        str | None,
        typer.Option(help="Address for the nodes; :: serves IPv6 and IPv4.  [default: 127.0.0.1]"),
    ] = None,
    coap_port: Annotated[
        int | None, typer.Option(help="UDP port; 0 chooses a free one.  [default: 5683]")
    ] = None,
    key: KeyOption = None,
    public_uri: Annotated[
        str | None, typer.Option(help="Where nodes find it, e.g. coap://gw-1.example:5683.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of metrics, health and status on 127.0.0.1.")
    ] = None,
    site_port: Annotated[
        int | None,
        typer.Option(help="TCP port for technicians on site, by the work order; 0 for a free one."),
    ] = None,
    site_url: Annotated[
        str | None, typer.Option(help="Where their devices find it, e.g. https://gw-1.local.")
    ] = None,
    production: Annotated[
        bool | None, typer.Option("--production", help="Refuse everything made for tests.")
    ] = None,
    insecure_nosec: Annotated[
        bool | None,
        typer.Option(
            "--insecure-nosec", help="Also serve nodes without OSCORE. For interoperability tests."
        ),
    ] = None,
) -> None:
    """Run a gateway until Ctrl-C.

    Its addresses are in DATA/run/gateway.json.

    Example: `poleward gateway serve --data /var/lib/poleward --coap-host ::`
    """
    from poleward_gateway import bootstrap
    from poleward_gateway.domain import errors

    given = {
        "coap_host": coap_host,
        "coap_port": coap_port,
        "public_uri": public_uri,
        "key_source": key,
        "metrics_port": metrics_port,
        "site_port": site_port,
        "site_url": site_url,
        "production": production,
        "insecure_nosec": insecure_nosec,
    }
    try:
        raise typer.Exit(asyncio.run(bootstrap.serve(gateway_config(data, config, given))))
    except errors.ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error
    except errors.StorageError as error:
        raise CommandError(str(error), FAILED) from error


@gateway_app.command("doctor")
def gateway_doctor(
    data: GatewayDataOption = None,
    *,
    config: ConfigOption = None,
    key: KeyOption = None,
    json: JsonOption = False,
) -> None:
    """Examine a gateway, running or not: disk, clock, certificate, fleet, spool, nodes.

    Ends with 0 when nothing has failed, with 1 when something has.

    Example: `poleward gateway doctor --data /var/lib/poleward`
    """
    from poleward_gateway import doctor
    from poleward_gateway.domain import errors

    try:
        findings = doctor.examine(gateway_config(data, config, {"key_source": key}))
    except errors.ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error
    failed = any(finding.verdict is doctor.Verdict.FAILED for finding in findings)
    if json:
        print_json(
            {
                "healthy": not failed,
                "findings": [
                    {"check": f.check, "verdict": f.verdict.value, "words": f.words}
                    for f in findings
                ],
            }
        )
    else:
        print_table(
            ("check", "verdict", "what is so"),
            ((f.check, f.verdict.value, f.words) for f in findings),
        )
    raise typer.Exit(FAILED if failed else OK)


def gateway_config(
    data: Path | None, config: Path | None, given: Mapping[str, object]
) -> "GatewayConfig":
    """Put the settings of file and command line together; the command line counts more."""
    from poleward_gateway.config import GatewayConfig

    if config is not None:
        return GatewayConfig.from_file(config, {**given, "data_dir": data})
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    return GatewayConfig(data_dir=(data or Path("data/gateway")).resolve(), **chosen)
