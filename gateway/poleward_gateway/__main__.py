"""`python -m poleward_gateway`: the gateway's own command line, for machines without the tools.

Not the `poleward` command, which has the same verbs and help for people. The launcher starts
releases of the gateway by this one (launcher.py).
"""

import argparse
import asyncio
import json
import sys
from dataclasses import fields
from importlib import metadata
from pathlib import Path

from poleward_gateway import bootstrap
from poleward_gateway.adapters.storage.schema import READABLE_FROM, SCHEMA_VERSION
from poleward_gateway.config import GatewayConfig
from poleward_gateway.domain.errors import (
    ConfigurationError,
    GatewayError,
    PeerUnreachableError,
    RefusedError,
)

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_REFUSED = 4


def exit_code_of(error: GatewayError) -> int:
    """Return the exit code that an error stands for."""
    if isinstance(error, ConfigurationError):
        return EXIT_USAGE
    if isinstance(error, PeerUnreachableError):
        return EXIT_UNREACHABLE
    return EXIT_REFUSED if isinstance(error, RefusedError) else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m poleward_gateway", description=__doc__)
    parser.add_argument("--data-dir", type=Path, help="folder of the gateway")
    parser.add_argument("--config", type=Path, help="TOML file of settings; options count more")
    parser.add_argument("--key", help="file:PATH, env:NAME or command:WORDS")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("about", help="say version and database schema")
    enroll = verbs.add_parser("enroll", help="redeem a one-time token for a certificate")
    enroll.add_argument("--fleet", required=True, help="address of the fleet's web server")
    enroll.add_argument("--token", required=True, help="one-time token from the fleet")
    serve = verbs.add_parser("serve", help="serve nodes until interrupted")
    serve.add_argument("--coap-host", help="address; :: for IPv6 and IPv4")
    serve.add_argument("--coap-port", type=int, help="UDP port; 0 for a free one")
    serve.add_argument("--public-uri", help="where nodes find it, coap://…")
    serve.add_argument("--metrics-port", type=int, help="TCP port on 127.0.0.1 for Prometheus")
    for option, words in (
        ("--production", "refuse what is for tests only"),
        ("--insecure-nosec", "answer nodes without security (tests only)"),
    ):
        serve.add_argument(option, action="store_true", default=None, help=words)
    return parser


def _config(arguments: argparse.Namespace) -> GatewayConfig:
    """Put the settings of file and command line together; the command line counts more."""
    names = {field.name for field in fields(GatewayConfig)}
    given = {name: value for name, value in vars(arguments).items() if name in names}
    given["key_source"] = arguments.key
    if arguments.config is not None:
        return GatewayConfig.from_file(arguments.config, given)
    if arguments.data_dir is None:
        raise ConfigurationError("name the gateway's folder with --data-dir or --config")
    chosen = {name: value for name, value in given.items() if value is not None}
    return GatewayConfig(**chosen | {"data_dir": arguments.data_dir.resolve()})


async def _run(arguments: argparse.Namespace) -> int:
    if arguments.verb == "about":
        said = {
            "version": metadata.version("poleward"),
            "schema": SCHEMA_VERSION,
            "schema_readable_from": READABLE_FROM,
        }
        print(json.dumps(said))
        return 0
    config = _config(arguments)
    if arguments.verb == "enroll":
        name = await bootstrap.enroll(
            config.data_dir, arguments.fleet, arguments.token, config.key_source
        )
        print(f"enrolled as {name}")
        return 0
    return await bootstrap.serve(config)


def main() -> int:
    """Run the command line; return the exit code."""
    arguments = _parser().parse_args()
    try:
        return asyncio.run(_run(arguments))
    except GatewayError as error:
        print(error, file=sys.stderr)
        return exit_code_of(error)


if __name__ == "__main__":
    sys.exit(main())
