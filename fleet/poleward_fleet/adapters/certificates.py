"""The fleet's own certificate authority: signs gateways' and our servers' certificates.

Not a public CA: clients pin it by the fingerprint in their token. The key never leaves its folder.
"""

import datetime
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from poleward_fleet.domain.errors import ConfigurationError, InvalidError
from poleward_fleet.ports.certificates import IssuedCertificate

CA_VALID = datetime.timedelta(days=3650)
SERVER_VALID = datetime.timedelta(days=397)
GATEWAY_VALID = datetime.timedelta(days=30)
# Clocks of gateways may be behind ours when they enrol.
_BACKDATED = datetime.timedelta(minutes=10)


class FileCertificateAuthority:
    """CertificateAuthority with its key in a folder."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def load_or_make(cls, folder: Path, now_ms: int) -> "FileCertificateAuthority":
        """Read the CA, or make one at the first start.

        Raises:
            ConfigurationError: Only one of the two files is there, or they are damaged.
        """
        key_path, certificate_path = folder / "ca.key", folder / "ca.pem"
        if not key_path.exists() and not certificate_path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _make_ca(key, _moment(now_ms))
            write_secret(key_path, _key_pem(key))
            certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
            return cls(key, certificate)
        try:
            loaded = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the certificate authority in {folder} cannot be read ({error}); restore "
                "ca.key and ca.pem from a backup, both together"
            ) from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ConfigurationError(f"{key_path} does not hold a P-256 key")
        return cls(loaded, certificate)

    @property
    def ca_pem(self) -> str:
        """The CA certificate in PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate in DER, hex."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def sign(self, content: bytes) -> bytes:
        """Sign content for gateways, which trust the CA (ECDSA with SHA-256, DER)."""
        return self._key.sign(content, ec.ECDSA(hashes.SHA256()))

    def sign_gateway(self, csr_pem: str, gateway_name: str, now_ms: int) -> IssuedCertificate:
        """Sign a gateway's request; the name is ours, whatever the request says."""
        try:
            request = x509.load_pem_x509_csr(csr_pem.encode())
        except ValueError as error:
            raise InvalidError(f"this is not a PKCS #10 request in PEM: {error}") from error
        key = request.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise InvalidError("the certificate request must have a P-256 key")
        if not request.is_signature_valid:
            raise InvalidError("the signature of the certificate request is not valid")
        certificate = self._issue(
            key,
            gateway_name,
            _moment(now_ms),
            GATEWAY_VALID,
            ExtendedKeyUsageOID.CLIENT_AUTH,
            [x509.DNSName(gateway_name)],
        )
        return _issued(certificate)

    def make_server(self, hosts: Iterable[str], now_ms: int) -> tuple[bytes, bytes]:
        """Make key and certificate chain (PEM) of our own servers for these hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(host) for host in dict.fromkeys(hosts)]
        certificate = self._issue(
            key.public_key(),
            "poleward-fleet",
            _moment(now_ms),
            SERVER_VALID,
            ExtendedKeyUsageOID.SERVER_AUTH,
            names,
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM)
        return _key_pem(key), chain + self.ca_pem.encode()

    def _issue(
        self,
        key: ec.EllipticCurvePublicKey,
        name: str,
        now: datetime.datetime,
        valid: datetime.timedelta,
        usage: x509.ObjectIdentifier,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


def _make_ca(key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Poleward fleet CA")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + CA_VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _issued(certificate: x509.Certificate) -> IssuedCertificate:
    expires_at = certificate.not_valid_after_utc
    return IssuedCertificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        serial=f"{certificate.serial_number:x}",
        expires_at_ms=int(expires_at.timestamp() * 1000),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _moment(now_ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
