"""One connection: an HTTP request, a handshake, then frames both ways.

All connections read into one buffer: between ``get_buffer`` and ``buffer_updated`` of a connection, the event loop runs
nothing else. What is left of a frame that is not complete is copied out. A frame with a packet is passed on in place:
its type and its key are replaced, and neighbouring frames for one receiver are written together.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from templates_app.agents.relay.frames import (
    HEADER,
    KEY_BYTES,
    LENGTHS,
    MAGIC,
    MAX_INFO,
    MAX_PACKET,
    PACKET_HEADER,
    PING_BYTES,
    VERSION,
    BadFrame,
    Frame,
    check_length,
    frame,
)
from templates_app.agents.relay.handshake import ServerInfo, key_of, open_info, sealed_info
from templates_app.agents.relay.http_head import UPGRADED, Refused, Request
from templates_app.agents.relay.peers import Peer
from templates_app.agents.relay.queue import PacketQueue

if TYPE_CHECKING:
    from templates_app.agents.relay.server import Relay

# Of the buffer that all connections read into: the largest frame, and much more.
BUFFER_BYTES = 256 * 1024
# Bytes that a transport keeps for a receiver; then packets wait in its queue.
WRITE_BYTES = 64 * 1024
# Bytes of neighbouring frames that are written together.
RUN_BYTES = 32 * 1024
# Seconds from the connection until the relay knows that the client has the private key of its node.
HANDSHAKE_SECONDS = 10.0
# Seconds to wait for the announcement of an unknown key: a node connects as soon as it has sent the announcement.
UNKNOWN_SECONDS = 4.0
# Seconds between two keep-alives, and the largest random addition.
KEEP_ALIVE_SECONDS, KEEP_ALIVE_JITTER = 60.0, 5.0
# A connection whose client has read nothing for this many seconds is closed, and so is one whose client says nothing
# for as long after a ping. Pings find clients that have gone where TCP does not: behind a proxy.
STALL_SECONDS = PONG_SECONDS = 30.0
# Seconds for the rest of a frame that has begun: it is kept meanwhile.
FRAME_SECONDS = 30.0
# Seconds of its rate that a client can send at once.
BURST_SECONDS = 2.0
SEND, RECEIVE, LONGEST = int(Frame.SEND), int(Frame.RECEIVE), KEY_BYTES + MAX_PACKET


class Connection(asyncio.BufferedProtocol):
    """A connection of a client of the relay: of an agent, or of a client of an agent."""

    def __init__(self, relay: "Relay") -> None:
        self.relay = relay
        self.address = ""
        self.peer: Peer | None = None
        self.transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._rest_since = 0.0
        self._skipped = 0
        self._stage: Callable[[int, int], int] = self._read_request
        self._request = Request()
        self._is_ended = False
        self._is_paused = False
        self._is_heard = False
        self._is_pinged = False
        self._queue = PacketQueue(relay.budget)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stop_waiting: Callable[[], None] | None = None
        self._allowed = relay.limits.bytes_per_second * BURST_SECONDS
        self._counted_at = self._loop.time()

    # ------------------------------------------------------------------ life
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_BYTES)
        peername = transport.get_extra_info("peername")
        self.address = peername[0] if peername else ""
        self._after(HANDSHAKE_SECONDS, "handshake", lambda: self.end("the handshake took too long"))
        self.relay.connected(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_ended = True
        self._cancel_all()
        self._queue.clear()
        self._rest = b""
        if self.peer is not None:
            self.peer.disconnect(self)
        self.relay.disconnected(self)

    def eof_received(self) -> bool:
        return False  # a client that has closed one direction has gone

    def end(self, reason: str) -> None:
        """Close the connection at once."""
        if not self._is_ended:
            self._is_ended = True
            self._cancel_all()
            self.relay.ended(self, reason)
            self.transport.abort()

    def close(self) -> None:
        """Close the connection after what waits in its transport was sent."""
        self._is_ended = True
        self._cancel_all()
        self.transport.close()

    def _after(self, seconds: float, name: str, call: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = self._loop.call_later(seconds, call)

    def _cancel(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def _cancel_all(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._stop_waiting is not None:
            self._stop_waiting()
            self._stop_waiting = None

    # ------------------------------------------------------------------ reading
    def get_buffer(self, sizehint: int) -> memoryview:
        left = len(self._rest)
        if left:
            self.relay.buffer[:left] = self._rest
        return self.relay.buffer[left:]

    def buffer_updated(self, nbytes: int) -> None:
        start, end = 0, len(self._rest) + nbytes
        self._rest = b""
        self._is_heard = True
        try:
            while not self._is_ended:
                stage = self._stage
                start = stage(start, end)
                if self._stage is stage:
                    break
        except BadFrame as error:
            self.end(str(error))
        except Refused as refused:
            self.relay.refused(self, refused)
            self.transport.write(refused.response)
            self.close()
        if not self._is_ended:
            self._rest = bytes(self.relay.buffer[start:end])
            if start or nbytes == end:  # otherwise the rest continues an older one
                self._rest_since = self._loop.time()
            if self._rest and self.peer is not None and "frame" not in self._timers:
                self._after(FRAME_SECONDS, "frame", self._check_frame)
            if self.peer is not None and self.relay.limits.bytes_per_second:
                self._spend(nbytes)

    def _check_frame(self) -> None:
        """End the connection if its rest is too old. One timer serves all frames meanwhile: most reads have a rest."""
        self._cancel("frame")
        if not self._rest:
            return
        left = self._rest_since + FRAME_SECONDS - self._loop.time()
        if "rate" in self._timers:  # nothing is read, so the client cannot send the rest
            left = FRAME_SECONDS
        if left > 0:
            self._after(left, "frame", self._check_frame)
        else:
            self.end("a frame is not complete")

    def _spend(self, count: int) -> None:
        """Count bytes of the client's rate. Beyond it, nothing is read for a while."""
        rate, now = self.relay.limits.bytes_per_second, self._loop.time()
        self._allowed = min(self._allowed + (now - self._counted_at) * rate, rate * BURST_SECONDS) - count
        self._counted_at = now
        if self._allowed <= 0:
            self.transport.pause_reading()
            self._after(-self._allowed / rate + 0.01, "rate", self._read_again)

    def _read_again(self) -> None:
        self._cancel("rate")
        self.transport.resume_reading()

    # ------------------------------------------------------------------ the request and the handshake
    def _read_request(self, start: int, end: int) -> int:
        rest = self._request.feed(bytes(self.relay.buffer[start:end]))
        if rest is None:
            return end
        forwarded = self._request.headers.get(b"x-forwarded-for", b"").decode("ascii", "replace")
        self.relay.forwarded(self, forwarded)
        public = bytes(self.relay.key.public_key)
        self.transport.write(UPGRADED.format(key=public.hex()).encode() + frame(Frame.SERVER_KEY, MAGIC + public))
        self._stage = self._read_info
        return end - len(rest)

    def _read_info(self, start: int, end: int) -> int:
        if end - start < HEADER.size:
            return start
        length: int
        kind, length = HEADER.unpack_from(self.relay.buffer, start)
        if kind != Frame.CLIENT_INFO or length > MAX_INFO:
            raise BadFrame(f"the first frame is of type {kind:#04x} with {length} bytes, and not a client info")
        first, stop = start + HEADER.size, start + HEADER.size + length
        if stop > end:
            return start
        payload = bytes(self.relay.buffer[first:stop])
        key = key_of(payload)
        self._stage = self._read_nothing
        if key in self.relay.directory.peers:
            self._accept(key, payload)
        else:
            self._wait_for(key, payload)
        return stop

    def _read_nothing(self, start: int, end: int) -> int:
        return start

    def _wait_for(self, key: bytes, payload: bytes) -> None:
        """Wait for the announcement of a key that is not known yet."""
        directory = self.relay.directory
        self.transport.pause_reading()

        def known() -> None:
            self._stop_waiting = None
            self._cancel("unknown")
            self.transport.resume_reading()
            try:
                self._accept(key, payload)
            except BadFrame as error:
                self.end(str(error))
                return
            self.get_buffer(0)
            self.buffer_updated(0)

        directory.when_known(key, known)
        self._stop_waiting = lambda: directory.stop_waiting(key, known)
        self._after(UNKNOWN_SECONDS, "unknown", lambda: self.end("its key is unknown"))

    def _accept(self, key: bytes, payload: bytes) -> None:
        """End the handshake of a key that may connect. Raises BadFrame."""
        self._is_pinged = open_info(self.relay.key, payload).acknowledges_pings
        rate = self.relay.limits.bytes_per_second
        info = ServerInfo(VERSION, rate, int(rate * BURST_SECONDS))
        self.transport.write(frame(Frame.SERVER_INFO, sealed_info(self.relay.key, key, info)))
        self._cancel("handshake")
        self._stage = self._read_frames
        self.peer = self.relay.directory.peers[key]
        self.peer.connect(self)
        self.relay.accepted(self)
        self._keep_alive_later()

    # ------------------------------------------------------------------ frames
    def _read_frames(self, start: int, end: int) -> int:
        """Act on the complete frames, and return where the rest starts. Raises BadFrame."""
        buffer = self.relay.buffer
        assert self.peer is not None
        partners, own_key = self.peer.partners, self.peer.key
        if self._skipped:
            skipped = min(self._skipped, end - start)
            self._skipped -= skipped
            start += skipped
        to: Peer | None = None  # for whom the frames from ``first`` on are
        first = packets = 0
        try:
            while (left := end - start) >= HEADER.size:
                if left >= PACKET_HEADER.size:
                    kind, length, key = PACKET_HEADER.unpack_from(buffer, start)
                else:
                    kind, length = HEADER.unpack_from(buffer, start)
                if kind != SEND or not KEY_BYTES <= length <= LONGEST:
                    check_length(kind, length)
                stop = start + HEADER.size + length
                if stop > end and kind in LENGTHS:
                    break
                partner = partners.get(key) if kind == SEND else None
                if to is not None and (partner is not to or start - first > RUN_BYTES):
                    self._pass_on(to, first, start, packets)
                    to = None
                if partner is not None and partner.receiver is not None:
                    if to is None:
                        to, first, packets = partner, start, 0
                    PACKET_HEADER.pack_into(buffer, start, RECEIVE, length, own_key)
                    packets += 1
                else:
                    self._act(kind, start, stop)
                self._skipped = max(stop - end, 0)
                start = min(stop, end)
        finally:
            if to is not None:
                self._pass_on(to, first, start, packets)
        return start

    def _act(self, kind: int, start: int, stop: int) -> None:
        """Act on a frame that nobody else receives."""
        if kind == SEND:
            self.relay.figures.unknown += 1
        elif kind == Frame.PING:
            self._send_control(frame(Frame.PONG, bytes(self.relay.buffer[start + HEADER.size : stop])))

    def _pass_on(self, to: Peer, first: int, stop: int, packets: int) -> None:
        """Send the frames in this part of the buffer to a peer."""
        assert self.peer is not None
        if to.receiver is None:
            return
        if to not in self.peer.met:
            self.peer.meet(to)
        to.receiver.deliver(bytes(self.relay.buffer[first:stop]), packets)

    # ------------------------------------------------------------------ writing
    def deliver(self, frames: bytes, packets: int) -> None:
        """Send whole frames with packets to the client, or let them wait."""
        if self._is_ended:
            return
        figures = self.relay.figures
        figures.packets += packets
        figures.bytes += len(frames)
        if not self._is_paused:
            self.transport.write(frames)
            return
        at = dropped = 0
        while at < len(frames):
            stop = at + HEADER.size + HEADER.unpack_from(frames, at)[1]
            dropped += self._queue.put(frames[at:stop])
            at = stop
        figures.packets -= dropped
        figures.dropped += dropped

    def tell_gone(self, key: bytes) -> None:
        """Notify the client that a peer whom it has met has gone."""
        self._send_control(frame(Frame.PEER_GONE, key))

    def _send_control(self, control: bytes) -> None:
        if self._is_ended:
            return
        if self._is_paused:
            self.relay.figures.dropped += self._queue.put(control)
        else:
            self.transport.write(control)

    def _keep_alive_later(self) -> None:
        pause = KEEP_ALIVE_SECONDS + random.uniform(0, KEEP_ALIVE_JITTER)  # noqa: S311 - spreads load
        self._after(pause, "keep_alive", self._keep_alive)

    def _keep_alive(self) -> None:
        self._send_control(frame(Frame.KEEP_ALIVE))
        if self._is_pinged and not self._is_paused:
            self._is_heard = False
            self._send_control(frame(Frame.PING, random.randbytes(PING_BYTES)))  # noqa: S311 - echoed, not secret
            self._after(PONG_SECONDS, "pong", self._check_pong)
        self._keep_alive_later()

    def _check_pong(self) -> None:
        if not self._is_heard:
            self.end("it does not answer")

    def pause_writing(self) -> None:
        self._is_paused = True
        self._watch_reader()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._cancel("stall")
        while self._queue and not self._is_paused and not self._is_ended:
            self.transport.write(self._queue.take())

    def _watch_reader(self) -> None:
        """Check after STALL_SECONDS whether the client has read anything of what waits for it."""
        unsent = self.transport.get_write_buffer_size()

        def check() -> None:
            if self.transport.get_write_buffer_size() >= unsent:
                self.end("it reads nothing")
            else:
                self._watch_reader()

        self._after(STALL_SECONDS, "stall", check)
