"""Keys, certificates and the revocation list, made by `cryptography`. Nothing here does I/O.

All keys are ECDSA on P-256: every TLS library of a small device has it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hiertk_protocol.errors import StorageError

from hiertk_cloud.provisioning.names import SERVICE, as_address

AUTHORITY_NAME = "HierTK authority"
AUTHORITY_DAYS = 20 * 365
# A Raspberry Pi has no clock that runs while it is off: it may start some hours late.
_BEFORE = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Revoked:
    """A serial number that is to be refused, since when."""

    serial: int
    since: datetime


@dataclass(frozen=True)
class Issuer:
    """The CA: its certificate and its key."""

    certificate: x509.Certificate
    key: Key


def now() -> datetime:
    """Return the time, in whole seconds, as certificates have it."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def new_key() -> Key:
    """Make a key."""
    return ec.generate_private_key(ec.SECP256R1())


def new_issuer() -> Issuer:
    """Make a CA."""
    key = new_key()
    name = _name(AUTHORITY_NAME)
    certificate = (
        _builder(name, name, key.public_key(), now() + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Issuer(certificate, key)


def device_certificate(issuer: Issuer, key: Key, name: str, days: int) -> x509.Certificate:
    """Issue a device's certificate; the broker takes its common name for the user's name."""
    end = min(now() + timedelta(days=days), issuer.certificate.not_valid_after_utc)
    builder = _builder(_name(name), issuer.certificate.subject, key.public_key(), end)
    return _sign_leaf(builder, issuer.key, issuer, ExtendedKeyUsageOID.CLIENT_AUTH)


def broker_certificate(
    issuer: Issuer, key: Key, hosts: Sequence[str], days: int
) -> x509.Certificate:
    """Issue the broker's certificate for all names and addresses it is reached by."""
    end = min(now() + timedelta(days=days), issuer.certificate.not_valid_after_utc)
    builder = _builder(_name("broker"), issuer.certificate.subject, key.public_key(), end)
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    builder = builder.add_extension(names, critical=False)
    return _sign_leaf(builder, issuer.key, issuer, ExtendedKeyUsageOID.SERVER_AUTH)


def service_certificate(key: Key) -> x509.Certificate:
    """Make the service's certificate, signed by itself: the broker trusts it and no other there."""
    name = _name(SERVICE)
    end = now() + timedelta(days=AUTHORITY_DAYS)
    builder = _builder(name, name, key.public_key(), end)
    return _sign_leaf(builder, key, None, ExtendedKeyUsageOID.CLIENT_AUTH)


def revocation_list(issuer: Issuer, revoked: Iterable[Revoked], number: int) -> bytes:
    """Return the list of revoked certificates as PEM; number: greater than the last list's."""
    # Mosquitto refuses every device once a list is past its end: it has the CA's.
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now())
        .next_update(issuer.certificate.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(one.serial)
            .revocation_date(one.since)
            .build()
        )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def to_pem(item: x509.Certificate | Key) -> bytes:
    """Return a certificate or a key as PEM."""
    if isinstance(item, x509.Certificate):
        return item.public_bytes(Encoding.PEM)
    return item.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_certificate(data: bytes, where: str) -> x509.Certificate:
    """Read a certificate. Raises StorageError."""
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise StorageError(f"{where} is damaged: bring it back from a backup") from error


def parse_key(data: bytes, where: str) -> Key:
    """Read a key. Raises StorageError."""
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise StorageError(f"{where} is damaged: bring it back from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise StorageError(f"{where} is no P-256 key: bring it back from a backup")
    return key


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names and addresses that a certificate is for."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in names)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general_name(host: str) -> x509.GeneralName:
    address = as_address(host)
    return x509.DNSName(host) if address is None else x509.IPAddress(address)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - _BEFORE)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _sign_leaf(
    builder: x509.CertificateBuilder, key: Key, issuer: Issuer | None, use: x509.ObjectIdentifier
) -> x509.Certificate:
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    )
    if issuer is not None:
        above = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(above, critical=False)
    return builder.sign(key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
