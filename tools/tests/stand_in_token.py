"""A token in RAM with the part of python-pkcs11's interface that release keys use.

For machines without SoftHSM2; what it does was taken from how that behaves.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass


class StandInLibrary:
    """What `pkcs11.lib` gives: a library with one token."""

    def __init__(self, label: str, pin: str) -> None:
        self._token = StandInToken(label, pin)

    def get_tokens(self) -> list["StandInToken"]:
        return [self._token]

    def get_token(self, token_label: str) -> "StandInToken":
        return self._token


class StandInToken:
    manufacturer_id = "Poleward"
    model = "stand-in"
    serial = b"0001"

    def __init__(self, label: str, pin: str) -> None:
        self.label = label
        self._pin = pin
        self._objects: list[_Half] = []

    @contextmanager
    def open(self, *, user_pin: str, rw: bool = False) -> Iterator["StandInToken"]:
        if user_pin != self._pin:
            raise pkcs11.PinIncorrect
        yield self

    def get_objects(self, wanted: dict[Attribute, Any]) -> list["_Half"]:
        return [found for found in self._objects if wanted.items() <= found.attributes.items()]

    def create_domain_parameters(self, *_: object, **__: object) -> "StandInToken":
        return self

    def generate_keypair(self, **named: Any) -> None:
        key = Ed25519PrivateKey.generate()
        point = b"\x04\x20" + key.public_key().public_bytes_raw()
        for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
            attributes = {
                Attribute.CLASS: kind,
                Attribute.KEY_TYPE: KeyType.EC_EDWARDS,
                Attribute.LABEL: named["label"],
                Attribute.ID: named["id"],
                Attribute.EC_POINT: point,
            }
            self._objects.append(_Half(attributes, key))


@dataclass(frozen=True, slots=True)
class _Half:
    attributes: dict[Attribute, Any]
    _key: Ed25519PrivateKey

    def __getitem__(self, attribute: Attribute) -> Any:
        return self.attributes[attribute]

    def sign(self, message: bytes, *, mechanism: Mechanism) -> bytes:
        assert mechanism is Mechanism.EDDSA
        return self._key.sign(message)
