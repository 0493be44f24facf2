"""Starts the fleet manager: `python -m poleward_fleet --data DIR`.

Not the command for people: that is `poleward fleet serve`.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from poleward_fleet.bootstrap import serve
from poleward_fleet.config import FleetConfig


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m poleward_fleet", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder for keys and data")
    parser.add_argument("--database-url", help="postgresql://…; without it an own one is started")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--public-host", help="name under which others reach this machine")
    parser.add_argument("--openid", type=Path, help="settings of an OpenID provider (TOML)")
    parser.add_argument("--web-port", type=int, default=8080)
    parser.add_argument("--api-port", type=int, default=7443)
    parser.add_argument("--link-port", type=int, default=7444)
    parser.add_argument("--metrics-port", type=int, help="TCP port on 127.0.0.1 for Prometheus")
    arguments = parser.parse_args()
    config = FleetConfig(
        data_dir=arguments.data,
        database_url=arguments.database_url,
        host=arguments.host,
        web_port=arguments.web_port,
        api_port=arguments.api_port,
        link_port=arguments.link_port,
        public_host=arguments.public_host,
        openid_file=arguments.openid,
        metrics_port=arguments.metrics_port,
    )
    return asyncio.run(serve(config))


if __name__ == "__main__":
    sys.exit(main())
