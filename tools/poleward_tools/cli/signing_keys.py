"""Private keys as command lines name them: a file, or a `pkcs11:` URI of a key in a token.

What either is: releases/keys.py and releases/token_keys.py.
"""

import os
from pathlib import Path

import typer

from poleward_manifest.signatures import SigningKey
from poleward_tools.releases import keys, token_keys

KEY_HELP = "Private key, a file or pkcs11: URI; may be given several times."


def load(name: str) -> SigningKey:
    """Load a private key; asks for a token's PIN unless POLEWARD_PKCS11_PIN holds it.

    Raises:
        ReleaseKeyError: it cannot be used; the message says what to do.
    """
    if not name.startswith(token_keys.SCHEME):
        return keys.load_signing_key(Path(name))
    uri = token_keys.TokenUri.parse(name, os.environ.get(token_keys.MODULE_VARIABLE))
    return token_keys.open_token_key(uri, lambda: _pin_for(uri))


def _pin_for(uri: token_keys.TokenUri) -> str:
    given = os.environ.get(token_keys.PIN_VARIABLE)
    return given or str(typer.prompt(f"PIN for {uri.text}", hide_input=True, err=True))
