"""What daemons without database access ask of us. The services behind it are those of the daemons beside us."""

import uuid
from typing import Any, ClassVar, TypeVar

import psycopg
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import DomainError, NotFound, TooLarge
from coderproj.base.identifiers import parse_uuid
from coderproj.base.json_text import JSON_CONTENT_TYPE
from coderproj.web.bridge import STREAMS, Handover
from provisioning.files.stored import TAR
from provisioning.keys import KeyHolder
from provisioning.log.following.job_waits import JobWait
from provisioning.log.following.waiters import WaitRequest
from provisioning.protocol import wire
from provisioning.protocol.client import DaemonFacts, Lease, LeaseLost, Refused
from provisioning.protocol.leases import Worker
from provisioning.queue.daemon_service import JobService
from provisioning.queue.kinds import kinds
from provisioning.views.key_authentication import KeyAuthentication, WithDaemonKey, WrongKeyThrottle
from provisioning.views.remote_schema import describe, describe_archive

BodyT = TypeVar("BodyT", bound=wire.Body)
LEASE_META = f"HTTP_{wire.LEASE_HEADER.upper().replace('-', '_')}"


class NotYourJob(DomainError):
    """A lease that does not count (any more)."""

    status_code = 409
    message = "The job is not this daemon's: it was taken over, ended or deleted."


class NotStorable(DomainError):
    """Content that no repetition makes acceptable."""

    status_code = 422


class TryAgain(DomainError):
    status_code = 503
    message = "The database cannot be reached right now: please try again."


class UnknownDaemon(NotFound):
    message = "There is no such daemon with this key: it has to register (again)."


class KeyedViewSet(ApiViewSet):
    """A resource for daemons, which authenticate with a provisioner key. Its bodies are those of ``protocol.wire``.

    ``LARGE`` names the actions whose body may have ``wire.MAX_LARGE_BYTES``."""

    authentication_classes = (KeyAuthentication,)
    permission_classes = (WithDaemonKey,)
    throttle_classes = (WrongKeyThrottle,)
    LARGE: ClassVar[frozenset[str]] = frozenset()

    def handle_exception(self, exc: Exception) -> Response:
        match exc:
            case LeaseLost():
                exc = NotYourJob()
            case Refused():
                exc = NotStorable(str(exc))
            case OperationalError() | InterfaceError() | psycopg.OperationalError() | psycopg.InterfaceError():
                exc = TryAgain()
        response = super().handle_exception(exc)
        if response.status_code == 401:
            response["WWW-Authenticate"] = wire.KEY_HEADER
        return response

    @property
    def holder(self) -> KeyHolder:
        holder: Any = self.request.user
        assert isinstance(holder, KeyHolder)
        return holder

    @property
    def service(self) -> JobService:
        return JobService(key_id=self.holder.key_id, organization_id=self.holder.organization_id)

    def read(self, wanted: type[BodyT]) -> BodyT:
        """The body. Raises TooLarge, and DomainError for one that is not exactly of that shape."""
        limit = wire.MAX_LARGE_BYTES if self.action in self.LARGE else wire.MAX_SMALL_BYTES
        data = self.request._request.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        try:
            return wire.decode(data, wanted)
        except wire.Unreadable as error:
            raise DomainError("The request body is not what was expected.", detail=str(error)) from None

    def worker(self, daemon_id: uuid.UUID) -> Worker:
        """The key's daemon of that id, with the key's tags. Raises UnknownDaemon."""
        worker = self.service.find_worker(daemon_id, self.holder.tags)
        if worker is None:
            raise UnknownDaemon
        return worker


def reply(answer: wire.Answer) -> HttpResponse:
    return HttpResponse(wire.encode(answer), content_type=JSON_CONTENT_TYPE)


class RemoteDaemonViewSet(KeyedViewSet):
    """A daemon without database access, and its next job."""

    @describe("register_provisioner_daemon", wire.Register, wire.Registered)
    def register(self, request: Request) -> HttpResponse:
        """A daemon makes itself known under its durable name; the answer says which tags its key gives it."""
        body = self.read(wire.Register)
        if not body.name.isprintable():
            raise NotStorable("A daemon's name must be printable.")
        facts = DaemonFacts(
            name=body.name,
            tags=self.holder.tags,
            provisioners=body.provisioners,
            concurrency=body.concurrency,
            version=body.version,
            hostname=body.hostname,
            engine=body.engine,
            sandbox=body.sandbox,
        )
        return reply(wire.Registered(self.service.register(facts), self.holder.tags))

    @describe("refresh_provisioner_daemon", wire.Daemon, wire.Done)
    def refresh(self, request: Request) -> HttpResponse:
        """A daemon lives."""
        if not self.service.refresh(self.read(wire.Daemon).daemon_id):
            raise UnknownDaemon
        return reply(wire.Done())

    @describe("deregister_provisioner_daemon", wire.Daemon, wire.Done)
    def deregister(self, request: Request) -> HttpResponse:
        """A daemon says good-bye."""
        self.service.deregister(self.read(wire.Daemon).daemon_id)
        return reply(wire.Done())

    @describe("acquire_provisioner_job", wire.Acquire, lambda: wire.acquired_type(kinds()))
    def acquire(self, request: Request) -> HttpResponse:
        """The next job that fits, at once; the source is fetched by itself."""
        body = self.read(wire.Acquire)
        found = self.service.acquire(
            self.worker(body.daemon_id), lease_seconds=body.lease_seconds, token=body.claim, with_archive=False
        )
        if found is None:
            return reply(wire.Acquired())
        answer = wire.acquired(
            kinds(),
            found.payload,
            id=found.job_id,
            job_type=found.job_type,
            provisioner=found.provisioner,
            attempt=found.attempt,
            archive_sha256=found.archive_sha256,
            archive_bytes=found.archive_bytes,
            log_count=found.log_count,
            template_version_id=found.template_version_id,
        )
        return reply(answer)

    @describe("wait_for_provisioner_job", wire.Wait, wire.Waited)
    def wait(self, request: Request) -> HttpResponseBase:
        """Wait until a job can be taken or is to be canceled.

        The wait changes nothing, so that losing it costs nothing, and it holds neither a thread nor a connection of the
        database. Where no streams are served, it answers at once, and the daemon asks again a second later.
        """
        body = self.read(wire.Wait)
        waiting = WaitRequest(
            worker=self.worker(body.daemon_id),
            seconds=body.seconds,
            has_slot=body.has_slot,
            canceling=frozenset(body.canceling),
        )
        if request.META.get(STREAMS):
            return Handover(JobWait(self.holder.key_id, waiting))
        return reply(waiting.check())


# ---------------------------------------------------------------------- a job
class RemoteJobViewSet(KeyedViewSet):
    """About a job that the daemon has a lease of."""

    LARGE = frozenset({"logs", "readme", "schemas", "complete", "fail"})

    @property
    def lease(self) -> Lease:
        """Raises LeaseLost for ids that are none."""
        job_id, token = parse_uuid(self.kwargs["job"]), parse_uuid(self.request.META.get(LEASE_META, ""))
        if job_id is None or token is None:
            raise LeaseLost
        return Lease(job_id, token)

    @describe_archive("provisioner_job_archive")
    def archive(self, request: Request, job: str) -> HttpResponse:
        """The job's source, a plain tar; its SHA-256 was told with the job."""
        return HttpResponse(self.service.archive(self.lease), content_type=TAR)

    @describe("provisioner_job_heartbeat", wire.Heartbeat, wire.Beaten)
    def heartbeat(self, request: Request, job: str) -> HttpResponse:
        """Prolongs the lease."""
        body = self.read(wire.Heartbeat)
        return reply(wire.Beaten(self.service.heartbeat(self.lease, lease_seconds=body.lease_seconds)))

    @describe("provisioner_job_logs", wire.Logs, wire.Logged)
    def logs(self, request: Request, job: str) -> HttpResponse:
        """Adds lines to the log, all or none of them; a batch that was written already is not written again."""
        body = self.read(wire.Logs)
        if any(not 0 <= line.created_at <= wire.MAX_TIME for line in body.lines):
            raise NotStorable("The time of a line is not between the years 1970 and 9999.")
        return reply(wire.Logged(self.service.append_logs(self.lease, body.lines, after=body.after)))

    @describe("provisioner_job_readme", wire.Readme, wire.Done)
    def readme(self, request: Request, job: str) -> HttpResponse:
        """Stores the template's readme."""
        self.service.store_readme(self.lease, self.read(wire.Readme).readme)
        return reply(wire.Done())

    @describe("provisioner_job_schemas", wire.Schemas, wire.Values)
    def schemas(self, request: Request, job: str) -> HttpResponse:
        """Stores the template's variables; answers the values they get."""
        return reply(wire.Values(self.service.store_schemas(self.lease, self.read(wire.Schemas).schemas)))

    @describe("complete_provisioner_job", lambda: wire.complete_type(kinds()), wire.Done)
    def complete(self, request: Request, job: str) -> HttpResponse:
        """Ends the job with its results. Here and below, the same again by the same lease is answered alike."""
        known = kinds()
        body = self.read(wire.complete_type(known))
        try:
            result = wire.result_of(body, known)
        except wire.Unreadable as error:
            raise DomainError("The request body is not what was expected.", detail=str(error)) from None
        self.service.complete(self.lease, result)
        return reply(wire.Done())

    @describe("fail_provisioner_job", wire.Fail, wire.Done)
    def fail(self, request: Request, job: str) -> HttpResponse:
        """Ends the job with the reason why it failed."""
        self.service.fail(self.lease, self.read(wire.Fail).error)
        return reply(wire.Done())

    @describe("finish_canceled_provisioner_job", wire.Cancel, wire.Done)
    def canceled(self, request: Request, job: str) -> HttpResponse:
        """Ends the job as canceled."""
        self.read(wire.Cancel)
        self.service.finish_canceled(self.lease)
        return reply(wire.Done())

    @describe("release_provisioner_job", wire.Release, wire.Done)
    def release(self, request: Request, job: str) -> HttpResponse:
        """Gives the job back unfinished."""
        self.service.release(self.lease, self.read(wire.Release).reason)
        return reply(wire.Done())
