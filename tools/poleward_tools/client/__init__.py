"""Talks to a fleet over its API: `FleetClient`, `find_profile`, `ClientError` and plain values.

The only part of the tools that knows the generated code.
"""

from poleward_tools.client.errors import ClientError, Failure
from poleward_tools.client.fleet import FleetClient
from poleward_tools.client.profile import FleetProfile, find_profile, save_profile

__all__ = [
    "ClientError",
    "Failure",
    "FleetClient",
    "FleetProfile",
    "find_profile",
    "save_profile",
]
