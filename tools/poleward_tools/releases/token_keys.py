"""Ed25519 keys in tokens behind PKCS#11, named by RFC 7512 URIs: they sign where they are kept.

It makes no keys and asks for no PIN: a token's own tools do the one, the command line the other.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_to_bytes

from poleward_manifest.signatures import ED25519_BYTES, is_valid
from poleward_tools.releases.keys import ReleaseKeyError

if TYPE_CHECKING:
    import pkcs11

SCHEME = "pkcs11:"
MODULE_VARIABLE = "POLEWARD_PKCS11_MODULE"
PIN_VARIABLE = "POLEWARD_PKCS11_PIN"
# RFC 7512, 2.3: those that can tell a token or a key from others.
_PATH_ATTRIBUTES = ("token", "serial", "manufacturer", "model", "object", "id", "type")
_MODULE_PATH = "module-path"
# CKA_EC_POINT is an OCTET STRING in DER (PKCS #11 3.0, 2.3.5); some tokens give its contents alone.
_POINT_HEAD = bytes((4, ED25519_BYTES))


@dataclass(frozen=True, slots=True)
class TokenUri:
    """What a URI says about where a key is.

    Attributes:
        text: the URI.
        path: attributes that token and key must have, unescaped.
        key_id: CKA_ID of the key, None for any.
        module: path of the token's PKCS#11 library.
    """

    text: str
    path: dict[str, str]
    key_id: bytes | None
    module: str

    @classmethod
    def parse(cls, text: str, default_module: str | None) -> "TokenUri":
        """Read a URI.

        Raises:
            ReleaseKeyError: it is malformed, names no key or no library, or holds a PIN.
        """
        path_text, _, query_text = text.removeprefix(SCHEME).partition("?")
        path = _attributes(path_text, ";")
        query = _attributes(query_text, "&")
        if query.keys() & {"pin-value", "pin-source"}:
            raise ReleaseKeyError(
                f"no PIN belongs into a URI; set {PIN_VARIABLE}, or leave it out and be asked"
            )
        if unknown := [*(path.keys() - {*_PATH_ATTRIBUTES}), *(query.keys() - {_MODULE_PATH})]:
            raise ReleaseKeyError(f"{text}: unknown attribute {', '.join(sorted(unknown))}")
        if not path.keys() & {"object", "id"}:
            raise ReleaseKeyError(f"{text} names no key; add object=LABEL or id=%01")
        if path.get("type", "private") != "private":
            raise ReleaseKeyError(f"{text} does not name a private key; leave its type out")
        module = unquote(query[_MODULE_PATH]) if _MODULE_PATH in query else default_module
        if not module:
            raise ReleaseKeyError(
                f"{text} does not say which library its token has; add ?module-path=FILE "
                f"or set {MODULE_VARIABLE}"
            )
        return cls(
            text,
            {name: unquote(value) for name, value in path.items() if name != "id"},
            unquote_to_bytes(path["id"]) if "id" in path else None,
            module,
        )

    def is_of(self, token: "pkcs11.Token") -> bool:
        """Tell whether a token is one that the URI means."""
        found = {
            "token": token.label,
            "serial": token.serial.decode(errors="replace").rstrip(),
            "manufacturer": token.manufacturer_id,
            "model": token.model,
        }
        return all(self.path.get(name, value) == value for name, value in found.items())


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A private key that does not leave its token; each signature is a session of its own."""

    uri: TokenUri
    _token: "pkcs11.Token"
    _pin: str = field(repr=False)
    _public_key: bytes

    def public_key(self) -> bytes:
        """Give the public half, 32 bytes."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Have the token sign.

        Raises:
            ReleaseKeyError: it does not, or not with the key whose public half it showed.
        """
        from pkcs11 import Mechanism, ObjectClass

        with _session(self.uri, self._token, self._pin) as session:
            (key,) = _keys(self.uri, session, ObjectClass.PRIVATE_KEY)
            signature = bytes(key.sign(message, mechanism=Mechanism.EDDSA))
        if not is_valid(self._public_key, message, signature):
            raise ReleaseKeyError(f"{self.uri.text}: its public key in the token is another one's")
        return signature


def open_token_key(uri: TokenUri, ask_pin: Callable[[], str]) -> TokenKey:
    """Find a key in its token; `ask_pin` is called when the token is there.

    Raises:
        ReleaseKeyError: the library, the token or the key is not there, or the PIN is wrong.
    """
    try:
        import pkcs11
    except ImportError as error:
        raise ReleaseKeyError(
            "keys in tokens need python-pkcs11; run `pip install 'poleward[pkcs11]'`"
        ) from error
    with _explained(uri):
        tokens = [token for token in pkcs11.lib(uri.module).get_tokens() if uri.is_of(token)]
    if len(tokens) != 1:
        raise ReleaseKeyError(f"{uri.text} fits {len(tokens)} tokens, not one")
    pin = ask_pin()
    with _session(uri, tokens[0], pin) as session:
        _keys(uri, session, pkcs11.ObjectClass.PRIVATE_KEY)
        (public,) = _keys(uri, session, pkcs11.ObjectClass.PUBLIC_KEY)
        public_key = bytes(public[pkcs11.Attribute.EC_POINT]).removeprefix(_POINT_HEAD)
    if len(public_key) != ED25519_BYTES:
        raise ReleaseKeyError(f"{uri.text} is not an Ed25519 key")
    return TokenKey(uri, tokens[0], pin, public_key)


@contextmanager
def _session(uri: TokenUri, token: "pkcs11.Token", pin: str) -> "Iterator[pkcs11.Session]":
    with _explained(uri), token.open(user_pin=pin) as session:
        yield session


def _keys(uri: TokenUri, session: "pkcs11.Session", kind: "pkcs11.ObjectClass") -> list[Any]:
    """Give the one half of the key that a URI means, as a list of one."""
    from pkcs11 import Attribute, KeyType

    wanted: dict[Attribute, Any] = {Attribute.CLASS: kind, Attribute.KEY_TYPE: KeyType.EC_EDWARDS}
    if "object" in uri.path:
        wanted[Attribute.LABEL] = uri.path["object"]
    if uri.key_id is not None:
        wanted[Attribute.ID] = uri.key_id
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        half = kind.name.lower().replace("_", " ")
        raise ReleaseKeyError(f"{uri.text} fits {len(found)} Ed25519 {half}s of its token, not one")
    return found


@contextmanager
def _explained(uri: TokenUri) -> Iterator[None]:
    """Translate what the token's library says."""
    import pkcs11

    try:
        yield
    except pkcs11.PinIncorrect as error:
        raise ReleaseKeyError(
            f"{uri.text}: the PIN is wrong; some tokens lock after a few"
        ) from error
    except pkcs11.PKCS11Error as error:
        why = str(error) or type(error).__name__
        raise ReleaseKeyError(f"{uri.text} cannot be used: {why}") from error


def _attributes(text: str, separator: str) -> dict[str, str]:
    """Split attributes and leave their values escaped (RFC 7512, 2.3)."""
    attributes: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, equals, value = part.partition("=")
        if not equals or name in attributes:
            raise ReleaseKeyError(f"{part!r} is no attribute of a pkcs11: URI, or comes twice")
        attributes[name] = value
    return attributes
