"""Endpoints of files."""

import tempfile
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.throttling import ApiThrottle, UploadThrottle
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import DomainError, Forbidden
from coderproj.base.identifiers import path_uuid
from provisioning.files import archive, stored
from provisioning.serializers.jobs import UploadAnswer

# Uploads up to this size are checked in memory, larger ones in a temporary file.
SPOOL_BYTES = 4 * 1024 * 1024
ARCHIVE_TYPES = ("application/x-tar", "application/zip")


class FileViewSet(ApiViewSet):
    """Uploaded archives."""

    serializer_class = UploadAnswer
    action_throttles = {"create": (ApiThrottle, UploadThrottle)}

    @extend_schema(
        operation_id="upload_file",
        request=dict.fromkeys(ARCHIVE_TYPES, OpenApiTypes.BINARY),
        responses={200: UploadAnswer, 201: UploadAnswer},
    )
    def create(self, request: Request) -> Response:
        """Upload an archive. The body is read only after the caller is authenticated."""
        if not stored.may_upload(self.actor):
            raise Forbidden
        content_type = request.content_type.partition(";")[0].strip().lower()
        if content_type not in ARCHIVE_TYPES:
            raise DomainError(
                f"Unsupported content type: {content_type or 'none'}.",
                detail=f"Use one of {', '.join(ARCHIVE_TYPES)}.",
            )
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as sink:
            checked = archive.check(body_stream(request._request), limit_bytes=settings.UPLOAD_MAX_BYTES, sink=sink)
            sink.seek(0)
            upload = stored.store(self.actor, sink.read(), sha256=checked.sha256)
        return self.respond({"hash": upload.file.pk}, status=201 if upload.created else 200)

    @extend_schema(operation_id="download_file", responses={(200, "application/x-tar"): OpenApiTypes.BINARY})
    def retrieve(self, request: Request, file: str) -> HttpResponse:
        """Download an archive. Returns 404 if the caller may not read it."""
        found = stored.find(self.actor, path_uuid("fileID", file))
        response = HttpResponse(bytes(found.data))
        # Without a charset: the command line compares the exact text.
        response.headers["Content-Type"] = found.mimetype
        return response


def body_stream(request: HttpRequest) -> Any:
    """Return the raw body, also of a chunked request, which has no Content-Length that Django could use."""
    environ = getattr(request, "environ", {})
    if environ.get("wsgi.input_terminated"):
        return environ["wsgi.input"]
    return request
