"""The daemon's client over HTTPS: without database and Django, with a key.

Every call can be repeated: the client chooses the id of a claim, log lines are numbered, and the server stores how a
lease ended.
"""

import hashlib
import logging
import ssl
import time
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from coderproj.base.backoff import Backoff
from provisioning.daemon.polling import LongPoll
from provisioning.engine.base import CostDecision, LogLine, ParameterSchema, ParameterValue
from provisioning.protocol import wire
from provisioning.protocol.client import (
    Assignment,
    DaemonFacts,
    Lease,
    LeaseLost,
    NotAccepted,
    Refused,
    Registration,
    StateKept,
    Unreachable,
    Wakeup,
)
from provisioning.protocol.kinds import JobKinds, cannot_run

logger = logging.getLogger(__name__)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
TIMEOUT = httpx.Timeout(15.0, connect=5.0, write=30.0)
# Storing the results of a large plan takes longer.
STORE_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
POLL_TIMEOUT = httpx.Timeout(wire.MAX_WAIT + 10, connect=5.0)
# Shorter than the server's limit for idle connections, so that none is closed just when it is used.
LIMITS = httpx.Limits(keepalive_expiry=30.0)
# Statuses of a server or proxy that is temporarily unavailable.
UNAVAILABLE = (429, 502, 503, 504)
ARCHIVE_ATTEMPTS = 3
# How often a call about a job is repeated after an internal error of the server.
RETRIES = 2
# A server without streams answers a wait at once; the client then repeats it after this many seconds at the
# earliest.
SHORTEST_WAIT = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0

AnswerT = TypeVar("AnswerT", bound=wire.Answer)


class BadAddress(ValueError):
    """The URL is not the address of a server to which a key can be sent safely."""


class _NotRegistered(Exception):
    """The daemon is unknown to the server and must register again."""


class _Failed(Exception):
    """The server answered with an internal error."""


class _Damaged(Exception):
    """The archive does not have the announced SHA-256."""


class RemoteClient:
    """Implements ``JobClient`` over HTTPS. Thread-safe, but only one thread may call ``wait_for_jobs``."""

    poll_seconds = wire.MAX_WAIT

    def __init__(self, url: str, key: str, *, lease_seconds: float, kinds: JobKinds, allow_http: bool = False) -> None:
        """Raises BadAddress for an invalid URL, and for an unencrypted connection to another machine."""
        parts = urlsplit(url)
        plain = parts.scheme == "http" and (allow_http or parts.hostname in LOOPBACK)
        if not parts.hostname or not (parts.scheme == "https" or plain):
            raise BadAddress("expected https://HOST (http only to this machine, or with --allow-http)")
        self.server = url.rstrip("/")
        self._lease_seconds = lease_seconds
        self._kinds = kinds
        self._facts: DaemonFacts | None = None
        self._id = uuid.uuid4()
        self._claim = uuid.uuid4()
        self._canceling: frozenset[uuid.UUID] = frozenset()
        self._promised = False
        self._failed_claims = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        # The system's certificate authorities, or those of SSL_CERT_FILE.
        common: dict[str, Any] = {
            "base_url": url.rstrip("/"),
            "headers": {wire.KEY_HEADER: key, "Content-Type": "application/json", "User-Agent": "coderproj-daemon"},
            "verify": ssl.create_default_context() if parts.scheme == "https" else False,
            "limits": LIMITS,
            "trust_env": parts.hostname not in LOOPBACK,  # proxies
        }
        self._http = httpx.Client(timeout=TIMEOUT, **common)
        self._poll = LongPoll(lambda: httpx.AsyncClient(timeout=POLL_TIMEOUT, **common))

    # ------------------------------------------------------------------ the daemon
    def register(self, facts: DaemonFacts) -> Registration:
        body = wire.Register(
            name=facts.name,
            provisioners=facts.provisioners,
            concurrency=facts.concurrency,
            version=facts.version,
            hostname=facts.hostname,
            engine=facts.engine,
            sandbox=facts.sandbox,
        )
        try:
            answer = self._call("register", body, wire.Registered)
        except (LeaseLost, _NotRegistered) as error:
            if isinstance(error, NotAccepted):
                raise
            raise Refused(str(error)) from error
        except _Failed as error:
            raise Unreachable(str(error)) from error
        self._facts, self._id = facts, answer.id
        return Registration(answer.id, answer.tags)

    def refresh(self) -> None:
        self._call_as_daemon("refresh", wire.Done)

    def deregister(self) -> None:
        self._call_as_daemon("deregister", wire.Done)

    def _call_as_daemon(self, path: str, wanted: type[AnswerT], body: wire.Body | None = None) -> AnswerT:
        """Call an endpoint about the daemon itself. If the server does not know the daemon, register it again."""
        try:
            try:
                return self._call(path, body or wire.Daemon(self._id), wanted)
            except _NotRegistered:
                self._register_again()
                raise Unreachable("the server did not know this daemon; it was registered again") from None
        except _Failed as error:
            raise Unreachable(str(error)) from error

    def _register_again(self) -> None:
        if self._facts is None:
            raise RuntimeError("call register first")
        self.register(self._facts)

    # ------------------------------------------------------------------ a job
    def acquire(self) -> Assignment | None:
        while True:
            request = wire.Acquire(self._id, self._claim, self._lease_seconds)
            job = self._call_as_daemon("acquire", wire.acquired_type(self._kinds, lenient=True), request).job
            if job is None:
                if self._promised:
                    self._failed_claims.fail()
                else:
                    self._failed_claims.reset()
                self._promised = False
                return None
            self._promised = False
            self._failed_claims.reset()
            lease = Lease(job.id, self._claim)
            payload = wire.payload_of(job, self._kinds)
            if payload is None:
                self._claim = uuid.uuid4()
                self._give_up(lease, cannot_run(job.job_type))
                continue
            try:
                archive = self._archive(job, lease)
            except LeaseLost:
                self._claim = uuid.uuid4()
                continue
            except _Damaged as error:
                self._claim = uuid.uuid4()
                self._give_up(lease, str(error))
                continue
            self._claim = uuid.uuid4()
            return Assignment(
                lease=lease,
                job_type=job.job_type,
                provisioner=job.provisioner,
                attempt=job.attempt,
                payload=payload,
                archive=archive,
                archive_sha256=job.archive_sha256,
                archive_bytes=job.archive_bytes,
                log_count=job.log_count,
                template_version_id=job.template_version_id,
            )

    def _archive(self, job: wire.Job, lease: Lease) -> bytes:
        """Return the job's source, verified by its SHA-256. Raises _Damaged when every attempt fails."""
        for _ in range(ARCHIVE_ATTEMPTS):
            try:
                archive = self._send("GET", f"jobs/{lease.job_id}/archive", lease=lease).content
            except _Failed as error:
                raise Unreachable(str(error)) from error
            if hashlib.sha256(archive).hexdigest() == job.archive_sha256:
                return archive
            logger.warning("Job %s: its source arrived damaged (%d bytes)", job.id, len(archive))
        raise _Damaged("the template's source arrived damaged: its SHA-256 differs from that of the stored file")

    def _give_up(self, lease: Lease, error: str) -> None:
        try:
            self.fail(lease, error)
        except LeaseLost:
            logger.info("Job %s: dropped", lease.job_id)

    def heartbeat(self, lease: Lease) -> bool:
        # After this time another daemon could claim the job, so a later answer is useless.
        timeout = httpx.Timeout(min(15.0, max(1.0, self._lease_seconds / 3)))
        body = wire.Heartbeat(self._lease_seconds)
        return self._call_for(lease, "heartbeat", body, wire.HeartbeatReply, timeout).canceling

    def append_logs(self, lease: Lease, lines: Sequence[LogLine], *, after: int) -> int:
        return self._call_for(lease, "logs", wire.Logs(after, tuple(lines)), wire.Logged).last

    def store_readme(self, lease: Lease, readme: str) -> None:
        self._call_for(lease, "readme", wire.Readme(readme), wire.Done)

    def store_schemas(self, lease: Lease, schemas: Sequence[ParameterSchema]) -> tuple[ParameterValue, ...]:
        return self._call_for(lease, "schemas", wire.Schemas(tuple(schemas)), wire.Values).values

    def store_state(self, lease: Lease, state: bytes, *, is_last: bool = False) -> None:
        if self._call_for(lease, "state", wire.State(state, is_last), wire.StateStored, STORE_TIMEOUT).late:
            raise StateKept

    def commit_cost(self, lease: Lease, cost: int) -> CostDecision:
        return self._call_for(lease, "cost", wire.Cost(cost), wire.CostDecided).decision

    def complete(self, lease: Lease, result: Any) -> None:
        self._call_for(lease, "complete", wire.completion(result, self._kinds), wire.Done, STORE_TIMEOUT)

    def fail(self, lease: Lease, error: str) -> None:
        self._call_for(lease, "fail", wire.Fail(error[: wire.MAX_ERROR_CHARACTERS]), wire.Done)

    def finish_canceled(self, lease: Lease) -> None:
        self._call_for(lease, "canceled", wire.Cancel(), wire.Done)

    def release(self, lease: Lease, reason: str) -> None:
        self._call_for(lease, "release", wire.Release(reason[:1000]), wire.Done)

    def _call_for(
        self, lease: Lease, action: str, body: wire.Body, wanted: type[AnswerT], timeout: httpx.Timeout = TIMEOUT
    ) -> AnswerT:
        """Call an endpoint about a job. After an internal error of the server it is repeated, but only a few times, so
        that the job is not delayed forever.
        """
        backoff = Backoff(0.2, 1.0, factor=5)
        while True:
            try:
                return self._call(f"jobs/{lease.job_id}/{action}", body, wanted, lease, timeout)
            except _NotRegistered as error:
                raise LeaseLost from error
            except _Failed as error:
                if backoff.failures == RETRIES:
                    raise RuntimeError(str(error)) from error
                backoff.sleep()

    # ------------------------------------------------------------------ waiting
    def wait_for_jobs(self, timeout: float, *, has_slot: bool) -> Wakeup:
        # Announced jobs were claimed by other daemons several times, or their rows are locked: pause.
        if self._failed_claims.failures > 1 and self._poll.sleep(self._failed_claims.full_pause):
            return Wakeup()
        body = wire.Wait(self._id, min(timeout, wire.MAX_WAIT), has_slot, tuple(self._canceling)[:1000])
        began = time.monotonic()
        try:
            response = self._poll.post(f"{wire.PATH}/wait", wire.encode(body), timeout + 10)
            if response is None:
                return Wakeup()
            answer = self._decode_answer(response, wire.WaitReply)
        except httpx.HTTPError as error:
            raise Unreachable(_reason(error)) from error
        except _Failed as error:
            raise Unreachable(str(error)) from error
        except _NotRegistered:
            self._register_again()
            return Wakeup()
        self._promised = answer.work
        fresh = frozenset(answer.canceling) - self._canceling
        self._canceling = frozenset(answer.canceling)
        if not answer.work and not fresh:
            self._poll.sleep(min(timeout, SHORTEST_WAIT) - (time.monotonic() - began))
        return Wakeup(tuple(fresh))

    def wake(self) -> None:
        self._poll.wake()

    def close(self) -> None:
        self._poll.close()
        self._http.close()

    # ------------------------------------------------------------------ requests
    def _call(
        self,
        path: str,
        body: wire.Body,
        wanted: type[AnswerT],
        lease: Lease | None = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> AnswerT:
        return _decoded(self._send("POST", path, body, lease, timeout), wanted)

    def _send(
        self,
        method: str,
        path: str,
        body: wire.Body | None = None,
        lease: Lease | None = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> httpx.Response:
        headers = {wire.LEASE_HEADER: str(lease.token)} if lease else {}
        content = wire.encode(body) if body is not None else None
        for is_last in (False, True):
            try:
                response = self._http.request(
                    method, f"{wire.PATH}/{path}", content=content, headers=headers, timeout=timeout
                )
                return self._checked(response)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if is_last:  # on the first attempt, an idle connection may have been closed by the server
                    raise Unreachable(_reason(error)) from error
            except httpx.HTTPError as error:
                raise Unreachable(_reason(error)) from error
        raise AssertionError("the last attempt returns or raises")

    def _decode_answer(self, response: httpx.Response, wanted: type[AnswerT]) -> AnswerT:
        return _decoded(self._checked(response), wanted)

    def _checked(self, response: httpx.Response) -> httpx.Response:
        """Return a successful answer; raise the error that another status means."""
        status = response.status_code
        if status == 200:
            return response
        message = _message_of(response)
        if status in UNAVAILABLE:
            raise Unreachable(f"{status}: {message}")
        match status:
            case 401:
                raise NotAccepted(message)
            case 404:
                raise _NotRegistered(message)
            case 409:
                raise LeaseLost(message)
            case 500:
                raise _Failed(f"the server failed: {message}")
        raise Refused(message)


def _decoded(response: httpx.Response, wanted: type[AnswerT]) -> AnswerT:
    try:
        return wire.decode_answer(response.content, wanted)
    except wire.Unreadable as error:
        raise Refused(f"the server's answer is invalid: {error}") from error


def _message_of(response: httpx.Response) -> str:
    """Return the text of the error envelope."""
    try:
        envelope = msgspec.json.decode(response.content)
        return " ".join(filter(None, (str(envelope["message"]), str(envelope.get("detail", "")))))
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, AttributeError):
        return f"unexpected answer with status {response.status_code}"


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
