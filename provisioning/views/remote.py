"""Endpoints for daemons without database access. They use the same service as daemons with database access."""

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
from coderproj.web.environ import STREAMS
from coderproj.web.replies import Handover
from provisioning.files.stored import download
from provisioning.keys import KeyHolder
from provisioning.log.following.job_waits import JobWait
from provisioning.log.following.waiters import WaitRequest
from provisioning.protocol import wire
from provisioning.protocol.client import DaemonFacts, Lease, LeaseLost, Refused
from provisioning.protocol.leases import StateKept, Worker
from provisioning.queue.daemon_service import JobService
from provisioning.queue.kinds import kinds
from provisioning.views.key_authentication import KeyAuthentication, WithDaemonKey, WrongKeyThrottle
from provisioning.views.remote_schema import describe, describe_archive

BodyT = TypeVar("BodyT", bound=wire.Body)
LEASE_META = f"HTTP_{wire.LEASE_HEADER.upper().replace('-', '_')}"


class NotYourJob(DomainError):
    """The lease is invalid."""

    status_code = 409
    message = "The lease is not valid: the job was claimed by another daemon, ended or deleted."


class NotStorable(DomainError):
    """The content cannot be stored; repeating the request does not help."""

    status_code = 422


class TryAgain(DomainError):
    status_code = 503
    message = "The database is unavailable. Try again."


class UnknownDaemon(NotFound):
    message = "There is no such daemon with this key. It must register again."


class KeyedViewSet(ApiViewSet):
    """The base of endpoints for daemons, which authenticate with a provisioner key. Bodies are those of
    ``protocol.wire``.

    ``LARGE`` names the actions whose body can have up to ``wire.MAX_LARGE_BYTES``."""

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
        """Read and decode the body. Raises TooLarge, and DomainError for a body of another form."""
        limit = wire.MAX_LARGE_BYTES if self.action in self.LARGE else wire.MAX_SMALL_BYTES
        data = self.request._request.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        try:
            return wire.decode(data, wanted)
        except wire.Unreadable as error:
            raise DomainError("The request body is invalid.", detail=str(error)) from None

    def worker(self, daemon_id: uuid.UUID) -> Worker:
        """Return the key's daemon with this id, with the key's tags. Raises UnknownDaemon."""
        worker = self.service.find_worker(daemon_id, self.holder.tags)
        if worker is None:
            raise UnknownDaemon
        return worker


def reply(answer: wire.Answer) -> HttpResponse:
    return HttpResponse(wire.encode(answer), content_type=JSON_CONTENT_TYPE)


class RemoteDaemonViewSet(KeyedViewSet):
    """Registration, heartbeats and claims of a daemon without database access."""

    @describe("register_provisioner_daemon", wire.Register, wire.Registered)
    def register(self, request: Request) -> HttpResponse:
        """Register a daemon by its name. The answer has its id and the tags of its key."""
        body = self.read(wire.Register)
        if not body.name.isprintable():
            raise NotStorable("The daemon's name must be printable.")
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
        """Record a daemon's heartbeat."""
        if not self.service.refresh(self.read(wire.Daemon).daemon_id):
            raise UnknownDaemon
        return reply(wire.Done())

    @describe("deregister_provisioner_daemon", wire.Daemon, wire.Done)
    def deregister(self, request: Request) -> HttpResponse:
        """Deregister a daemon."""
        self.service.deregister(self.read(wire.Daemon).daemon_id)
        return reply(wire.Done())

    @describe("acquire_provisioner_job", wire.Acquire, lambda: wire.acquired_type(kinds()))
    def acquire(self, request: Request) -> HttpResponse:
        """Claim the next matching job, without waiting. The source is fetched by a separate request."""
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

    @describe("wait_for_provisioner_job", wire.Wait, wire.WaitReply)
    def wait(self, request: Request) -> HttpResponseBase:
        """Wait until a job can be claimed or must be canceled.

        The wait changes nothing, so it can be repeated, and it occupies neither a thread nor a database connection. A
        server without streams answers at once; the daemon then repeats the request after a second.
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
    """Requests about a job for which the daemon has a lease."""

    LARGE = frozenset({"logs", "readme", "schemas", "state", "complete", "fail"})

    @property
    def lease(self) -> Lease:
        """The lease of the request. Raises LeaseLost for invalid ids."""
        job_id, token = parse_uuid(self.kwargs["job"]), parse_uuid(self.request.META.get(LEASE_META, ""))
        if job_id is None or token is None:
            raise LeaseLost
        return Lease(job_id, token)

    @describe_archive("provisioner_job_archive")
    def archive(self, request: Request, job: str) -> HttpResponseBase:
        """Return the job's source, a plain tar. The answer of the claim has its SHA-256."""
        return download(self.service.archive(self.lease))

    @describe("provisioner_job_heartbeat", wire.Heartbeat, wire.HeartbeatReply)
    def heartbeat(self, request: Request, job: str) -> HttpResponse:
        """Extend the lease."""
        body = self.read(wire.Heartbeat)
        return reply(wire.HeartbeatReply(self.service.heartbeat(self.lease, lease_seconds=body.lease_seconds)))

    @describe("provisioner_job_logs", wire.Logs, wire.Logged)
    def logs(self, request: Request, job: str) -> HttpResponse:
        """Append lines to the log, all or none of them. A batch that was written already is not written again."""
        body = self.read(wire.Logs)
        return reply(wire.Logged(self.service.append_logs(self.lease, body.lines, after=body.after)))

    @describe("provisioner_job_readme", wire.Readme, wire.Done)
    def readme(self, request: Request, job: str) -> HttpResponse:
        """Store the template's readme."""
        self.service.store_readme(self.lease, self.read(wire.Readme).readme)
        return reply(wire.Done())

    @describe("provisioner_job_schemas", wire.Schemas, wire.Values)
    def schemas(self, request: Request, job: str) -> HttpResponse:
        """Store the template's variables; return their computed values."""
        return reply(wire.Values(self.service.store_schemas(self.lease, self.read(wire.Schemas).schemas)))

    @describe("provisioner_job_state", wire.State, wire.StateStored)
    def state(self, request: Request, job: str) -> HttpResponse:
        """Store the state of what a build changed. It is stored even if the lease has expired or the job has failed."""
        try:
            body = self.read(wire.State)
            self.service.store_state(self.lease, body.state, is_last=body.last)
        except StateKept:
            return reply(wire.StateStored(late=True))
        return reply(wire.StateStored())

    @describe("provisioner_job_cost", wire.Cost, wire.CostDecided)
    def cost(self, request: Request, job: str) -> HttpResponse:
        """Decide whether a build may make what its plan costs. The build ends if the answer has a refusal."""
        return reply(wire.CostDecided(self.service.commit_cost(self.lease, self.read(wire.Cost).cost)))

    @describe("complete_provisioner_job", lambda: wire.complete_type(kinds()), wire.Done)
    def complete(self, request: Request, job: str) -> HttpResponse:
        """End the job with its result. This and the requests below can be repeated with the same lease."""
        known = kinds()
        body = self.read(wire.complete_type(known))
        try:
            result = wire.result_of(body, known)
        except wire.Unreadable as error:
            raise DomainError("The request body is invalid.", detail=str(error)) from None
        self.service.complete(self.lease, result)
        return reply(wire.Done())

    @describe("fail_provisioner_job", wire.Fail, wire.Done)
    def fail(self, request: Request, job: str) -> HttpResponse:
        """End the job as failed, with a reason."""
        self.service.fail(self.lease, self.read(wire.Fail).error)
        return reply(wire.Done())

    @describe("finish_canceled_provisioner_job", wire.Cancel, wire.Done)
    def canceled(self, request: Request, job: str) -> HttpResponse:
        """End the job as canceled."""
        self.read(wire.Cancel)
        self.service.finish_canceled(self.lease)
        return reply(wire.Done())

    @describe("release_provisioner_job", wire.Release, wire.Done)
    def release(self, request: Request, job: str) -> HttpResponse:
        """Return the unfinished job to the queue."""
        self.service.release(self.lease, self.read(wire.Release).reason)
        return reply(wire.Done())
