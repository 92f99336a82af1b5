"""Certificates that nobody vouches for."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def issue(folder: Path, days: float = 1) -> tuple[Path, Path, int]:
    """A fresh self-signed certificate, good for so long, in the same two files of the folder: the certificate and its
    key. Returns them and its serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    for path, content in ((folder / "key", pem), (folder / "cert", made.public_bytes(serialization.Encoding.PEM))):
        path.with_suffix(".new").write_bytes(content)
        os.replace(path.with_suffix(".new"), path)
    return folder / "cert", folder / "key", made.serial_number
