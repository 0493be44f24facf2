"""The gateway's key and certificate on disk, and what makes them acceptable.

Not how they are obtained: enrollment.py.
"""

import datetime
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from poleward_gateway.domain.errors import ConfigurationError, NotEnrolledError, RefusedError
from poleward_gateway.ports.stores import SecretBox

RENEW_AT = 2 / 3
"""Share of its life after which a certificate is renewed."""

_PURPOSE = "gateway identity"
PIN_HEX_DIGITS = 32
"""Digits of the CA's fingerprint that a token carries."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the gateway shows to the fleet and how it knows the fleet.

    Args:
        link_address: host:port of the link.
    """

    name: str
    key_pem: bytes
    certificate_pem: bytes
    ca_pem: bytes
    link_address: str

    def __repr__(self) -> str:
        return f"<identity of {self.name}>"

    def renew_after(self) -> datetime.datetime:
        """Return when the certificate should be renewed."""
        certificate = x509.load_pem_x509_certificate(self.certificate_pem)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return begins + (ends - begins) * RENEW_AT

    def begins_at(self) -> datetime.datetime:
        """Return when the certificate began."""
        return x509.load_pem_x509_certificate(self.certificate_pem).not_valid_before_utc

    def expires_at(self) -> datetime.datetime:
        """Return when the certificate ends."""
        return x509.load_pem_x509_certificate(self.certificate_pem).not_valid_after_utc


def new_key_pem() -> bytes:
    """Make a P-256 key; it never leaves the gateway."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_request(key_pem: bytes, name: str) -> str:
    """Make a PKCS #10 request; the fleet decides the name in the certificate."""
    key = serialization.load_pem_private_key(key_pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def check_pin(ca_pem: str, token: str) -> None:
    """Check that a CA certificate is the one that a token names.

    Raises:
        ConfigurationError: The token has no fingerprint; copy it again, whole.
        RefusedError: Somebody else's CA; do not enrol there.
    """
    _, _, pin = token.rpartition(".")
    if len(pin) != PIN_HEX_DIGITS:
        raise ConfigurationError(
            "the token is not whole: it must end with a dot and "
            f"{PIN_HEX_DIGITS} hexadecimal digits; copy it again"
        )
    try:
        certificate = x509.load_pem_x509_certificate(ca_pem.encode())
    except ValueError as error:
        raise RefusedError(f"the fleet's CA certificate cannot be read: {error}") from error
    der = certificate.public_bytes(serialization.Encoding.DER)
    if hashlib.sha256(der).hexdigest()[:PIN_HEX_DIGITS] != pin.lower():
        raise RefusedError(
            "the fleet shows another CA certificate than the token names; "
            "check the address, or ask for a token of this fleet"
        )


def is_signed_by(ca_pem: bytes, signature: bytes, content: bytes) -> bool:
    """Tell whether the CA signed this content (ECDSA with SHA-256)."""
    key = x509.load_pem_x509_certificate(ca_pem).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, content, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def save(folder: Path, identity: Identity, box: SecretBox) -> None:
    """Store an identity for its owner only; a crash leaves the old one or the new one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = json.dumps(
        {
            "name": identity.name,
            "link_address": identity.link_address,
            "key_sealed": box.seal(identity.key_pem, _PURPOSE).hex(),
            "certificate_pem": identity.certificate_pem.decode(),
            "ca_pem": identity.ca_pem.decode(),
        },
        indent=1,
    )
    unfinished = folder / "identity.new"
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / "identity.json")


def load(folder: Path, box: SecretBox) -> Identity:
    """Read the identity.

    Raises:
        NotEnrolledError: There is none; enrol the gateway.
        ConfigurationError: It is damaged, or sealed with another key; enrol the gateway again.
    """
    path = folder / "identity.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Identity(
            name=fields["name"],
            key_pem=box.open(bytes.fromhex(fields["key_sealed"]), _PURPOSE),
            certificate_pem=fields["certificate_pem"].encode(),
            ca_pem=fields["ca_pem"].encode(),
            link_address=fields["link_address"],
        )
    except FileNotFoundError as error:
        raise NotEnrolledError(
            f"there is no identity in {folder}; "
            "run 'poleward gateway enroll --fleet URL --token TOKEN' first"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error}); enrol the gateway again"
        ) from error
