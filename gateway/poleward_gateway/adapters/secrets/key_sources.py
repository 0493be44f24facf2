"""Where the key comes from that seals the gateway's secrets: a file, the environment, a command.

Not what it seals (sealed_box.py). A command stands for a TPM or a vault: it prints the key.
"""

import os
import secrets
import shlex
import subprocess
from pathlib import Path

from poleward_gateway.domain.errors import ConfigurationError

KEY_BYTES = 32
_COMMAND_TIMEOUT_S = 30


def read_key(source: str, default_file: Path) -> bytes:
    """Return the key.

    Args:
        source: "file:PATH", "env:NAME" or "command:WORDS" for 64 hexadecimal digits; empty for
            the default file, which is made when it is not there.
        default_file: Beside the gateway's data.

    Raises:
        ConfigurationError: There is no such source, or it does not give a key.
    """
    if not source:
        return _made(default_file)
    kind, _, rest = source.partition(":")
    if kind == "file" and rest:
        return _decoded(_content_of(Path(rest)), source)
    if kind == "env" and rest:
        if rest not in os.environ:
            raise ConfigurationError(f"there is no variable {rest} in the environment")
        return _decoded(os.environ[rest], source)
    if kind == "command" and rest:
        return _decoded(_said_by(shlex.split(rest)), source)
    raise ConfigurationError(
        f"'{source}' is no source of a key: say file:PATH, env:NAME or command:WORDS"
    )


def _made(path: Path) -> bytes:
    """Read the default file, or make it for its owner only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _decoded(_content_of(path), str(path))
    except OSError as error:
        raise ConfigurationError(f"cannot write the key {path}: {error.strerror}") from error
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def _content_of(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the key {path} cannot be read: {error}") from error


def _said_by(words: list[str]) -> str:
    try:
        # The words come from who starts the gateway, and no shell reads them.
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise ConfigurationError(f"the key's command cannot be run: {error}") from error
    if done.returncode:
        raise ConfigurationError(f"the key's command {words[0]} ended with {done.returncode}")
    return done.stdout


def _decoded(text: str, source: str) -> bytes:
    """Read hexadecimal digits; what they are is never in a message."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{source} does not give a key of {2 * KEY_BYTES} hex digits")
    return key
