"""An own TLS certificate, for starts on a host other than localhost: browsers open cameras on https only."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = dt.timedelta(days=397)
RENEW_BEFORE = dt.timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    """Paths of the pair and the fingerprint a person compares in the browser."""

    certificate: Path
    key: Path
    fingerprint: str


def ensure(folder: Path, names: list[str]) -> Certificate:
    """The certificate for `names` (host names or IP addresses) in `folder`, made anew when it does not
    cover them or has less than 30 days left."""
    paths = folder / "tls.crt", folder / "tls.key"
    kept = _load(*paths) if all(path.exists() for path in paths) else None
    if kept is None or not _fits(kept, names):
        kept = _make(*paths, names)
    digest = kept.fingerprint(hashes.SHA256()).hex().upper()
    return Certificate(*paths, ":".join(digest[i : i + 2] for i in range(0, len(digest), 2)))


def existing(folder: Path) -> Path | None:
    """The certificate that an earlier start made, if any."""
    path = folder / "tls.crt"
    return path if path.exists() else None


def _load(certificate_path: Path, key_path: Path) -> x509.Certificate | None:
    """The certificate, if the key beside it is its own: a crash between two writes leaves another's."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    except ValueError:
        return None
    return certificate if key.public_key() == certificate.public_key() else None


def _fits(certificate: x509.Certificate, names: list[str]) -> bool:
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    have = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return left > RENEW_BEFORE and set(have) == {_general_name(name) for name in names}


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _make(certificate_path: Path, key_path: Path, names: list[str]) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Fupan {names[0]}"[:64])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key_path, private)
    _write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and readable by its owner alone."""
    unfinished = path.with_name(path.name + ".unfinished")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
