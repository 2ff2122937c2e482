"""Runs Django, which is synchronous, below an ASGI server: pages and API on a fixed pool of threads.

Django's responses are complete before they are sent, so an ordinary request crosses from the event loop to its thread
once, and back once. General adapters do not give three guarantees that are needed here: a client that disconnects
during an upload does not look like the end of the body, a client that stops reading does not occupy a thread, and a
view can hand an authorized request over to a stream (``Handover``).
"""

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg
from django.db import DatabaseError, close_old_connections
from django.http.response import HttpResponseBase

from coderproj.web import callers
from coderproj.web.bodies import SHORT, BodyTooSlow
from coderproj.web.callers import Slots, TooManyWaiting
from coderproj.web.environ import ON_LOOP, Environ, Receive, Scope, Send
from coderproj.web.exchange import Busy, Exchange, RequestHandler
from coderproj.web.replies import Reply, error_reply, failure, refuse_websocket, send_whole
from coderproj.web.threads import NoThread, Threads

logger = logging.getLogger(__name__)

# Responds on the event loop, where nothing may wait but the coroutine itself. None: a thread must handle the request.
LoopHandler = Callable[[Environ], Awaitable[HttpResponseBase | None]]
Result = TypeVar("Result")

# Each caller can use the threads divided by this number. Threads take turns with the event loop: eight busy threads of
# one caller doubled the time of other callers' reads, and did not serve that caller faster.
CALLERS = 4
# Bytes of a POST that can be answered on the event loop.
SHORT_POST = 1024
# Requests that can wait for a thread, for each caller. After a restart, all callers of an address count as one until
# their first request has proven their tokens.
WAITING = 256
# Files and other long bodies that are checked and stored at a time. Each can keep a CPU busy, or take much memory.
FILES_AT_ONCE = 2
# Long bodies that are received or wait for a thread at a time, and those of one caller. Each can fill a temporary file
# of UPLOAD_MAX_BYTES.
BODIES, BODIES_PER_CALLER = 64, 8


class DjangoBridge:
    """An ASGI application that calls ``handler``, Django's WSGI handler, on one of ``threads`` threads.

    ``loop_handlers`` try each GET without a body first, and each POST with a short one.
    """

    def __init__(self, handler: RequestHandler, threads: int, loop_handlers: Sequence[LoopHandler] = ()) -> None:
        self.handler = handler
        self.loop_handlers = loop_handlers
        self.threads = Threads(threads)
        self._slots = Slots(threads, max(threads // CALLERS, 2), waiting=WAITING)
        self._files = Slots(FILES_AT_ONCE, 1, waiting=WAITING)
        self._bodies = Slots(BODIES, BODIES_PER_CALLER, waiting=0)

    def close(self) -> None:
        """End the threads after their current requests."""
        self.threads.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of type ``http``."""
        exchange = Exchange(self.handler, scope, receive, send)
        try:
            reply = await self._respond(exchange)
            if reply is None:
                return
            if reply.stream is not None:
                exchange.stop_watching()
                await reply.stream(scope, receive, send, reply.headers)
            elif reply.body is None:
                await exchange.finish_sending()
            else:
                await send_whole(send, reply)
        finally:
            exchange.abandon()
            if exchange.holds_body:
                self._bodies.release(exchange.caller)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of type ``websocket``: a view hands it over, or it is rejected with a JSON error."""
        if (await receive())["type"] != "websocket.connect":
            return
        exchange = Exchange(self.handler, scope, receive, send)
        try:
            reply = await self._run(exchange, exchange.run)
        finally:
            exchange.abandon()
        if reply is None:
            return
        if reply.stream is not None:
            await reply.stream(scope, receive, send, reply.headers)
        else:
            await refuse_websocket(scope, send, reply)

    async def _respond(self, exchange: Exchange) -> Reply | None:
        """Receive the request and return its reply; None if the client has disconnected."""
        try:
            await exchange.receive_body(functools.partial(self._allowance, exchange))
        except BodyTooSlow:
            reply: Reply | None = error_reply(408, "The request body did not arrive in time.")
        except ConnectionResetError:
            return None
        except Busy as busy:
            reply = busy.reply
        except Exception as error:  # noqa: BLE001 - whatever fails, the client gets the envelope
            reply = failure(error)
        else:
            response = await self._respond_on_loop(exchange)
            if response is None:
                reply = await self._run(exchange, exchange.run)
            elif response.streaming:  # its pieces can come from the database
                reply = await self._run(exchange, functools.partial(exchange.send_response, response))
            else:
                reply = exchange.reply_of(response)
        if reply is not None and not exchange.is_received:
            reply.headers.append((b"connection", b"close"))  # the client may still be sending the body
        return reply

    async def _allowance(self, exchange: Exchange) -> int:
        """Return how many bytes of body the caller may send. Raises Busy, and ConnectionResetError."""

        def read() -> int:
            try:
                return callers.allowance(exchange.environ)
            except (DatabaseError, psycopg.Error) as error:
                logger.error("The caller of a request cannot be checked: %s", error)
                raise Busy(503, "The database is unavailable. Try again.") from None
            finally:
                close_old_connections()

        allowed = await self._in_thread(exchange, read)
        if allowed > SHORT:
            try:
                self._bodies.acquire(exchange.caller)
            except TooManyWaiting:
                raise Busy(429, "You are sending too many long requests at once. Try again later.") from None
            exchange.holds_body = True
        return allowed

    async def _respond_on_loop(self, exchange: Exchange) -> HttpResponseBase | None:
        """Return the response of the first loop handler that responds; None if Django must."""
        match exchange.scope["method"]:
            case "GET" if not exchange.has_body:
                pass
            case "POST" if 0 < exchange.received <= SHORT_POST:
                pass
            case _:
                return None
        environ = exchange.environ
        for handler in self.loop_handlers:
            environ[ON_LOOP], environ["wsgi.input"] = True, exchange.input
            try:
                response = await handler(environ)
            except Exception:
                logger.exception("a request failed on the event loop; a thread handles it")
                return None
            finally:
                environ[ON_LOOP] = False
                exchange.input.seek(0)
            if response is not None:
                return response
        return None

    async def _run(self, exchange: Exchange, function: Callable[[], Reply | None]) -> Reply | None:
        try:
            if exchange.is_heavy:
                async with self._slot(self._files, exchange):
                    return await self._in_thread(exchange, function)
            return await self._in_thread(exchange, function)
        except Busy as busy:
            return busy.reply
        except ConnectionResetError:
            return None

    async def _in_thread(self, exchange: Exchange, function: Callable[[], Result]) -> Result:
        """Run a function on a thread, within the caller's share. Raises Busy, and ConnectionResetError."""
        async with self._slot(self._slots, exchange):
            try:
                return await self.threads.run(function)
            except NoThread as error:
                logger.error("No thread for a request: %s", error)
                raise Busy(503, "The server has no thread for this request.") from None

    @asynccontextmanager
    async def _slot(self, slots: Slots, exchange: Exchange) -> AsyncIterator[None]:
        """Hold a slot while the block runs. Raises Busy, and ConnectionResetError if the client disconnects before."""
        try:
            turn = slots.acquire(exchange.caller)
        except TooManyWaiting:
            raise Busy(429, "Too many of your requests are waiting. Try again later.") from None
        if turn is not None:
            try:
                await exchange.wait(turn)
            except BaseException:
                slots.leave(exchange.caller, turn)
                raise
        try:
            yield
        finally:
            slots.release(exchange.caller)
