"""Routes of the streaming tests: any job's log, and views with unusual answers."""

import hashlib
import threading
import time
import uuid

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.views import ApiView
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import NotFound
from coderproj.base.identifiers import path_uuid
from coderproj.web.environ import CLIENT_IS_GONE
from provisioning.models import ProvisionerJob
from provisioning.views.logs import FollowableLogs


class JobLogs(FollowableLogs, ApiViewSet):
    def get_job_id(self) -> uuid.UUID:
        job_id = path_uuid("job", self.kwargs["job"])
        if not ProvisionerJob.objects.filter(pk=job_id).exists():
            raise NotFound
        return job_id


class Echo(ApiView):
    """Returns the JSON it received, and the client's address."""

    def post(self, request: Request) -> Response:
        return Response({"data": request.data, "address": request.META["REMOTE_ADDR"]})

    def get(self, request: Request) -> Response:
        return Response({"query": request.GET.dict(), "headers": sorted(k for k in request.META if "SPOOF" in k)})


class Upload(ApiView):
    """Reads the body to its end, as the file upload does; records how reading ended."""

    ends: list[str] = []

    def post(self, request: Request) -> Response:
        stream = request._request.environ["wsgi.input"]
        digest = hashlib.sha256()
        size = 0
        try:
            while piece := stream.read(64 * 1024):
                digest.update(piece)
                size += len(piece)
        except OSError as error:
            self.ends.append(type(error).__name__)
            raise
        self.ends.append("complete")
        return Response({"size": size, "sha256": digest.hexdigest()})


class Endless(ApiView):
    """Streams until the client disconnects or the server stops."""

    closed = 0

    def get(self, request: Request) -> HttpResponseBase:
        return StreamingHttpResponse(self._pieces())

    size, pause = 1000, 0.01

    def _pieces(self):
        try:
            while True:
                yield b"x" * self.size
                time.sleep(self.pause)
        finally:
            Endless.closed += 1


class Flood(Endless):
    """Streams faster than any client reads."""

    size, pause = 100_000, 0.0


class Long(ApiView):
    """Streams five megabytes."""

    def get(self, request: Request) -> HttpResponseBase:
        return StreamingHttpResponse(b"y" * 50_000 for _ in range(100))


class Patient(ApiView):
    """Works until its client has gone."""

    ends: list[str] = []
    begun = threading.Event()

    def get(self, request: Request) -> Response:
        self.begun.set()
        for _ in range(500):
            if request._request.environ[CLIENT_IS_GONE]():
                self.ends.append("gone")
                break
            time.sleep(0.02)
        return Response({})


first_has_arrived = threading.Event()


def second_piece_on_request(request: HttpRequest) -> HttpResponseBase:
    def pieces():
        yield b"first"
        yield b"second" if first_has_arrived.wait(10) else b"the first piece was not read"

    return StreamingHttpResponse(pieces())


def broken_stream(request: HttpRequest) -> HttpResponseBase:
    def pieces():
        yield b"first"
        raise RuntimeError("the stream fails")

    return StreamingHttpResponse(pieces())


def crash(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("internals")


urlpatterns = [
    path("api/v2/jobs/<job>/logs", JobLogs.as_view({"get": "list"})),
    path("api/v2/echo", Echo.as_view()),
    path("api/v2/upload", Upload.as_view()),
    path("api/v2/endless", Endless.as_view()),
    path("api/v2/flood", Flood.as_view()),
    path("api/v2/long", Long.as_view()),
    path("api/v2/patient", Patient.as_view()),
    path("api/v2/slow", second_piece_on_request),
    path("api/v2/broken", broken_stream),
    path("api/v2/crash", crash),
]
