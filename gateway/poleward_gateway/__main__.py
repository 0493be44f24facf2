"""`python -m poleward_gateway`: the gateway's own command line, for machines without the tools.

Not the `poleward` command, which has the same two verbs and help for people.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from poleward_gateway import bootstrap
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
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the gateway")
    parser.add_argument("--key", default="", help="file:PATH, env:NAME or command:WORDS")
    verbs = parser.add_subparsers(dest="verb", required=True)
    enroll = verbs.add_parser("enroll", help="redeem a one-time token for a certificate")
    enroll.add_argument("--fleet", required=True, help="address of the fleet's web server")
    enroll.add_argument("--token", required=True, help="one-time token from the fleet")
    serve = verbs.add_parser("serve", help="serve nodes until interrupted")
    serve.add_argument("--coap-host", default="127.0.0.1", help="address; :: for IPv6 and IPv4")
    serve.add_argument("--coap-port", type=int, default=5683, help="UDP port; 0 for a free one")
    serve.add_argument("--public-uri", default="", help="where nodes find it, coap://…")
    serve.add_argument("--metrics-port", type=int, help="TCP port on 127.0.0.1 for Prometheus")
    serve.add_argument("--production", action="store_true", help="refuse what is for tests only")
    serve.add_argument(
        "--insecure-nosec", action="store_true", help="answer nodes without security (tests only)"
    )
    return parser


async def _run(arguments: argparse.Namespace) -> int:
    if arguments.verb == "enroll":
        name = await bootstrap.enroll(
            arguments.data_dir, arguments.fleet, arguments.token, arguments.key
        )
        print(f"enrolled as {name}")
        return 0
    return await bootstrap.serve(
        GatewayConfig(
            data_dir=arguments.data_dir,
            coap_host=arguments.coap_host,
            coap_port=arguments.coap_port,
            production=arguments.production,
            insecure_nosec=arguments.insecure_nosec,
            metrics_port=arguments.metrics_port,
            public_uri=arguments.public_uri,
            key_source=arguments.key,
        )
    )


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
