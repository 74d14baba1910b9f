"""Bindings of certificates, compared with what the cryptography library says of them."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared.sasl.channel import end_point

EC, RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)


def certificate(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: hashes.HashAlgorithm) -> bytes:
    return _builder(key.public_key()).sign(key, algorithm).public_bytes(Encoding.DER)


def _builder(public: object) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.a.test")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
    )


@pytest.mark.parametrize("key", [EC, RSA])
@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_the_hash_is_the_signatures(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: hashes.HashAlgorithm
) -> None:
    der = certificate(key, algorithm)
    assert end_point(der) == x509.load_der_x509_certificate(der).fingerprint(algorithm)


def test_none_where_there_is_no_hash() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    assert end_point(_builder(key.public_key()).sign(key, None).public_bytes(Encoding.DER)) is None


def test_anything_else_has_none() -> None:
    whole = certificate(EC, hashes.SHA256())
    for wrong in (b"", b"\x30", b"\x30\x82", whole[: len(whole) // 2], b"x" * 200, whole[4:]):
        assert end_point(wrong) is None
