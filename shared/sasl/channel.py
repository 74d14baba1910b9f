"""Channel binding data of a server's certificate: `tls-server-end-point` (RFC 5929 §4)."""

from __future__ import annotations

import hashlib

_SHA_256 = "sha256"
_HASHES = {  # signature algorithm's OID in DER → hash; MD5 and SHA-1 count as SHA-256
    bytes.fromhex("2a864886f70d010104"): _SHA_256,  # md5WithRSAEncryption
    bytes.fromhex("2a864886f70d010105"): _SHA_256,  # sha1WithRSAEncryption
    bytes.fromhex("2a864886f70d01010b"): _SHA_256,
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a8648ce3d0401"): _SHA_256,  # ecdsa-with-SHA1
    bytes.fromhex("2a8648ce3d040302"): _SHA_256,
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}
_SEQUENCE, _OID = 0x30, 0x06


def end_point(certificate: bytes) -> bytes | None:
    """Return the binding of a certificate in DER; None if its signature's hash isn't one (Ed25519, RSA-PSS)."""
    try:
        body, _ = _element(certificate, 0, _SEQUENCE)
        _, after = _element(body, 0, _SEQUENCE)  # what is signed
        algorithm, _ = _element(body, after, _SEQUENCE)
        oid, _ = _element(algorithm, 0, _OID)
    except (IndexError, ValueError):
        return None
    name = _HASHES.get(oid)
    return hashlib.new(name, certificate).digest() if name else None


def _element(data: bytes, start: int, tag: int) -> tuple[bytes, int]:
    """Return the content of a DER element and where the next begins."""
    if data[start] != tag:
        raise ValueError("another element")
    length, begin = data[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        length, begin = int.from_bytes(data[begin : begin + size]), begin + size
    if begin + length > len(data):
        raise ValueError("cut off")
    return data[begin : begin + length], begin + length
