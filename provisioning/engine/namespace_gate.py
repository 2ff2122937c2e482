"""Turn this process's empty network namespace into one with a single way out: two sockets of the parent process.

The launcher runs this inside the namespace, before it drops its capabilities. TCP connections to some networks are
redirected to a listening socket; all others are refused. Name lookups go to a UDP socket on 127.0.0.1:53. Both sockets
are created here, where only the sandboxed program can reach them, and sent to the parent process, which is outside and
decides what to pass on.

Only modules of the standard library: the launcher imports this file without the project's packages.
"""

import fcntl
import socket
import struct

DNS_PORT = 53
READY = b"ready"

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_ERROR, _NEW_ROUTE = 0x2, 24
_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_ROUTE_LOCAL, _TABLE_LOCAL, _SCOPE_HOST = 2, 255, 254
_RTA_OIF = 4

# nf_tables: message types of its subsystem, and its attributes.
_NFT, _BATCH_BEGIN, _BATCH_END = 10, 0x10, 0x11
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 3, 6
_NESTED = 0x8000
_HOOK_OUTPUT, _PRIORITY_DNAT = 3, -100
_META_L4PROTO, _REGISTER = 16, 1
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_TCP = 6


def open_gate(channel: int, networks: list[str]) -> None:
    """Set up the namespace and send the sockets through the unix socket ``channel``: TCP listener, then UDP.

    ``networks`` are the redirected ones: ``10.0.0.0/8:443``; port 0 stands for every port. If the namespace cannot
    be set up, sends the reason instead of the sockets, and the namespace stays empty.
    """
    with socket.socket(fileno=channel) as parent:
        try:
            _set_up_loopback()
            _route_everything_to_loopback()
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            names.bind(("127.0.0.1", DNS_PORT))
            _redirect_tcp(networks, listener.getsockname()[1])
        except OSError as error:
            parent.sendall(f"the network namespace cannot be set up: {error.strerror or error}".encode())
            return
        socket.send_fds(parent, [READY], [listener.fileno(), names.fileno()])
        listener.close()
        names.close()


def _set_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def _route_everything_to_loopback() -> None:
    """Make every IPv4 address local."""
    route = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _TABLE_LOCAL, 3, _SCOPE_HOST, _ROUTE_LOCAL, 0
    ) + _attribute(_RTA_OIF, struct.pack("=I", socket.if_nametoindex("lo")))
    _send(_NETLINK_ROUTE, [_message(_NEW_ROUTE, _CREATE | _ACK, route)], acknowledged=1)


def _redirect_tcp(networks: list[str], port: int) -> None:
    """Redirect outgoing TCP connections to ``networks`` to a port of 127.0.0.1."""
    table, chain = _text(1, "gate"), "out"
    hook = _nested(4, _number(1, _HOOK_OUTPUT) + _number(2, _PRIORITY_DNAT))
    is_tcp = _expression("meta", _number(1, _REGISTER) + _number(2, _META_L4PROTO)) + _equals(bytes([_TCP]))
    redirect = _expression(
        "immediate", _number(1, _REGISTER) + _nested(2, _attribute(1, struct.pack(">H", port)))
    ) + _expression("redir", _number(1, _REGISTER) + _number(3, 2))
    rules = [is_tcp + _destination(network) + redirect for network in networks]
    messages = [
        _message(_BATCH_BEGIN, 0, struct.pack(">BBH", 0, 0, _NFT)),
        _nft(_NEW_TABLE, table),
        _nft(_NEW_CHAIN, table + _text(3, chain) + hook + _text(7, "nat")),
        *(_nft(_NEW_RULE, table + _text(2, chain) + _nested(4, rule), flags=_APPEND) for rule in rules),
        _message(_BATCH_END, 0, struct.pack(">BBH", 0, 0, _NFT)),
    ]
    _send(_NETLINK_NETFILTER, messages, acknowledged=2 + len(rules))


def _destination(network: str) -> bytes:
    """Return the conditions for a network and port."""
    addresses, _, port = network.rpartition(":")
    address, _, length = addresses.partition("/")
    mask = (0xFFFFFFFF << (32 - int(length))) & 0xFFFFFFFF
    found = b""
    if mask:
        masked = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, 4)
        masked += _nested(4, _attribute(1, struct.pack(">I", mask))) + _nested(5, _attribute(1, bytes(4)))
        found += _header(_NETWORK_HEADER, 16, 4) + _expression("bitwise", masked) + _equals(socket.inet_aton(address))
    if int(port):
        found += _header(_TRANSPORT_HEADER, 2, 2) + _equals(struct.pack(">H", int(port)))
    return found


def _header(base: int, offset: int, length: int) -> bytes:
    """Return the expression that loads bytes of a packet's header."""
    return _expression("payload", _number(1, _REGISTER) + _number(2, base) + _number(3, offset) + _number(4, length))


def _equals(value: bytes) -> bytes:
    return _expression("cmp", _number(1, _REGISTER) + _number(2, 0) + _nested(3, _attribute(1, value)))


def _send(family: int, messages: list[bytes], *, acknowledged: int) -> None:
    """Send netlink messages and wait for the acknowledgements. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as kernel:
        kernel.settimeout(5)
        kernel.bind((0, 0))
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 19)
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 19)
        kernel.send(b"".join(messages))
        while acknowledged > 0:
            answer = kernel.recv(1 << 16)
            while len(answer) >= 16:
                length, kind = struct.unpack_from("=IH", answer)
                if kind == _ERROR:
                    number = struct.unpack_from("=i", answer, 16)[0]
                    if number:
                        raise OSError(-number, "netfilter" if family == _NETLINK_NETFILTER else "route")
                    acknowledged -= 1
                answer = answer[max(16, (length + 3) & -4) :]


def _message(kind: int, flags: int, content: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(content), kind, flags | _REQUEST, 1, 0) + content


def _nft(kind: int, content: bytes, *, flags: int = 0) -> bytes:
    header = struct.pack(">BBH", socket.AF_INET, 0, 0)
    return _message(_NFT << 8 | kind, flags | _CREATE | _ACK, header + content)


def _attribute(kind: int, content: bytes) -> bytes:
    padding = -len(content) % 4
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(padding)


def _nested(kind: int, content: bytes) -> bytes:
    return _attribute(kind | _NESTED, content)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack(">i", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _expression(name: str, content: bytes) -> bytes:
    return _nested(1, _text(1, name) + _nested(2, content))
