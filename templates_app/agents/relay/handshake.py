"""The handshake: the client proves that it has the private key of its node, and the relay that it has its own.

Both messages are NaCl boxes: X25519, XSalsa20 and Poly1305.
"""

import os
from pathlib import Path

import msgspec
from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey

from templates_app.agents.relay.frames import KEY_BYTES, VERSION, BadFrame

KEY_FILE = "relay_key"
NONCE_BYTES, MAC_BYTES = Box.NONCE_SIZE, 16


class ClientInfo(msgspec.Struct):
    """What a client says about itself."""

    version: int
    acknowledges_pings: bool = msgspec.field(name="CanAckPings", default=False)
    mesh_key: str = msgspec.field(name="meshKey", default="")


class ServerInfo(msgspec.Struct, omit_defaults=True):
    """What the relay says about itself: the bytes that a client can send per second, and at once; 0 for no limit."""

    version: int
    bytes_per_second: int = msgspec.field(name="TokenBucketBytesPerSecond", default=0)
    burst: int = msgspec.field(name="TokenBucketBytesBurst", default=0)


def server_key(configured: bytes, folder: Path) -> PrivateKey:
    """Return the configured key, else the one in this folder, which is generated on first use with mode 0600. Clients
    accept any key, but one that stays the same shows that the relay is the same. Raises ValueError for a damaged file
    and OSError."""
    if configured:
        return PrivateKey(configured)
    path = folder / KEY_FILE
    try:
        return _read(path)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process has just created it
        return _read(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        key = PrivateKey.generate()
        file.write(bytes(key).hex())
    return key


def _read(path: Path) -> PrivateKey:
    try:
        return PrivateKey(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (ValueError, TypeError, CryptoError):
        raise ValueError(
            f"{path} does not contain a key: 64 hexadecimal digits. Remove it, or set RELAY_KEY."
        ) from None


def key_of(payload: bytes) -> bytes:
    """Return the client's key in a client info, which is not proven yet. Raises BadFrame."""
    if len(payload) < KEY_BYTES + NONCE_BYTES + MAC_BYTES:
        raise BadFrame("the client info is too short")
    return payload[:KEY_BYTES]


def open_info(own: PrivateKey, payload: bytes) -> ClientInfo:
    """Return what a client says about itself. Raises BadFrame unless it has the private key of its node."""
    try:
        box = Box(own, PublicKey(payload[:KEY_BYTES]))
        text = box.decrypt(payload[KEY_BYTES:])
        info = msgspec.json.decode(text, type=ClientInfo)
    except CryptoError:
        raise BadFrame("the client info cannot be decrypted") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadFrame("the client info is not valid JSON") from None
    if info.version < VERSION:
        raise BadFrame(f"the client speaks version {info.version}")
    if info.mesh_key:
        raise BadFrame("the client is a relay, and there is no mesh")
    return info


def sealed_info(own: PrivateKey, client: bytes, info: ServerInfo) -> bytes:
    """Return the payload of a server info: a nonce and a box."""
    return bytes(Box(own, PublicKey(client)).encrypt(msgspec.json.encode(info)))
