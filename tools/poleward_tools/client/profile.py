"""Which fleet to talk to and as whom: from arguments, environment or `poleward login`'s file.

It opens no connection.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from poleward_tools.client.errors import ClientError, Failure

FLEET_VARIABLE = "POLEWARD_FLEET"
TOKEN_VARIABLE = "POLEWARD_TOKEN"  # noqa: S105 - the variable's name


@dataclass(frozen=True, slots=True)
class FleetProfile:
    """A fleet's web address and an API token for it.

    Args:
        url: where the fleet serves people, e.g. "http://127.0.0.1:8080".
        token: `<secret>.<first 32 hex digits of the SHA-256 of the fleet's CA certificate>`.
    """

    url: str
    token: str = field(repr=False)

    @property
    def ca_fingerprint(self) -> str:
        """First 32 hex digits of the SHA-256 of the CA certificate (DER) that the token names."""
        return self.token.rpartition(".")[2]

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ClientError: the address or the token has the wrong form; tell the person.
        """
        if not self.url.startswith(("http://", "https://")):
            raise ClientError(
                Failure.USAGE,
                f"'{self.url}' is no address of a fleet.",
                "Give one like http://127.0.0.1:8080.",
            )
        secret, _, fingerprint = self.token.rpartition(".")
        if not secret or len(fingerprint) != 32 or set(fingerprint) - set("0123456789abcdef"):
            raise ClientError(
                Failure.USAGE,
                "The token is not complete.",
                "Copy all of it; it ends in a dot and 32 hexadecimal digits.",
            )


def profile_path() -> Path:
    """Where `poleward login` keeps the profile."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "poleward" / "profile.json"


def find_profile(url: str | None = None, token: str | None = None) -> FleetProfile:
    """Take each part from the argument, else the environment, else the profile file.

    Raises:
        ClientError: a part is missing everywhere or malformed; tell the person.
    """
    url = url or os.environ.get(FLEET_VARIABLE)
    token = token or os.environ.get(TOKEN_VARIABLE)
    if not url or not token:
        saved = _load_saved()
        url = url or saved.get("fleet")
        token = token or saved.get("token")
    if not url or not token:
        missing = "address" if not url else "token"
        raise ClientError(
            Failure.USAGE,
            f"No {missing} of a fleet is known.",
            f"Run `poleward login`, or set {FLEET_VARIABLE} and {TOKEN_VARIABLE}.",
        )
    return FleetProfile(url.rstrip("/"), token)


def save_profile(profile: FleetProfile) -> Path:
    """Write the profile file, readable by its owner only, and return its path."""
    path = profile_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    replacement = path.with_suffix(".new")
    replacement.unlink(missing_ok=True)
    descriptor = os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"fleet": profile.url, "token": profile.token}, file)
    replacement.replace(path)
    return path


def _load_saved() -> dict[str, str]:
    path = profile_path()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise ClientError(
            Failure.USAGE, f"{path} cannot be read: {error}.", "Run `poleward login` again."
        ) from error
