"""OpenPGP signatures, as a registry of providers publishes them: one RSA key for tests, without a library."""

import base64
import hashlib
import struct

# The primes of the key. It signs nothing but the packages of tests.
_P = int(
    "fcef287b875e50d2396b0a6b55b5644f822f555657484b21c77d1d956df1ce001120bd708c17532da7c3e0dcf8e5230e0e69"
    "609090f59e84382e31251104dbd443efc7d1f272ac0351fe75a18810425c85324151dda9b94d083389ea292dea90eb2762cf"
    "cee8c7315df58cfcd2d97a97f02cf07ccb4547ef7127dddce0dd7f0b",
    16,
)
_Q = int(
    "e764c6ef47d6c884a4153826901b95e75b8e4a1294dd0dea7cf4ebe80e2240be49010cd6333202d229103d5f1af4b903ec5d"
    "44e5227026df4757c4220ba175f29d20faa0a246b3e1293ba97d86104873d0812b69e18face7e26bdbd496701ecd36deaf33"
    "6b937affa96455a3da52db6cedf413050ad6d9eefb0fa904b8fd221d",
    16,
)
_N, _E = _P * _Q, 65537
_D = pow(_E, -1, (_P - 1) * (_Q - 1))
_CREATED = 1_600_000_000
_USER = b"Tests <tests@example.com>"
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
_BINARY, _CERTIFICATION = 0x00, 0x13


def detached_signature(content: bytes) -> bytes:
    """Return the signature of a file."""
    return _packet(2, _signature(_BINARY, content))


def public_key() -> str:
    """Return the armored public key."""
    body = _key_body()
    bound = b"\x99" + struct.pack(">H", len(body)) + body + b"\xb4" + struct.pack(">I", len(_USER)) + _USER
    packets = _packet(6, body) + _packet(13, _USER) + _packet(2, _signature(_CERTIFICATION, bound))
    text = base64.encodebytes(packets).decode()
    check = base64.b64encode(_crc24(packets)).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{text}={check}\n-----END PGP PUBLIC KEY BLOCK-----\n"


def key_id() -> str:
    """Return the key's id in hexadecimal digits."""
    return _key_id().hex().upper()


def _key_body() -> bytes:
    return b"\x04" + struct.pack(">I", _CREATED) + b"\x01" + _integer(_N) + _integer(_E)


def _key_id() -> bytes:
    body = _key_body()
    return hashlib.sha1(b"\x99" + struct.pack(">H", len(body)) + body, usedforsecurity=False).digest()[-8:]


def _signature(kind: int, content: bytes) -> bytes:
    subpackets = b"\x05\x02" + struct.pack(">I", _CREATED)
    if kind == _CERTIFICATION:
        subpackets += b"\x02\x1b\x03"  # the key may certify and sign
    hashed = bytes([4, kind, 1, 8]) + struct.pack(">H", len(subpackets)) + subpackets
    digest = hashlib.sha256(content + hashed + b"\x04\xff" + struct.pack(">I", len(hashed))).digest()
    size = (_N.bit_length() + 7) // 8
    padded = b"\x00\x01".ljust(size - len(_SHA256_PREFIX) - len(digest) - 1, b"\xff") + b"\x00"
    signed = pow(int.from_bytes(padded + _SHA256_PREFIX + digest, "big"), _D, _N)
    issuer = b"\x09\x10" + _key_id()
    return hashed + struct.pack(">H", len(issuer)) + issuer + digest[:2] + _integer(signed)


def _integer(number: int) -> bytes:
    return struct.pack(">H", number.bit_length()) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + struct.pack(">I", len(body)) + body


def _crc24(content: bytes) -> bytes:
    crc = 0xB704CE
    for byte in content:
        crc ^= byte << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return (crc & 0xFFFFFF).to_bytes(3, "big")
