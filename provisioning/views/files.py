"""Endpoints of files."""

import tempfile

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.throttling import ApiThrottle, UploadThrottle
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import DomainError, Forbidden, Invalid
from coderproj.base.identifiers import path_uuid
from provisioning.files import archive, stored
from provisioning.serializers.jobs import UploadAnswer

# Uploads up to this size are checked in memory, larger ones in a temporary file.
SPOOL_BYTES = 1024 * 1024
# The content tells whether it is a tar or a zip file; generated clients can only send the general type.
GENERAL_TYPE = "application/octet-stream"
FORMATS = ("tar", "zip")
ARCHIVE_TYPES = ("application/x-tar", "application/zip", GENERAL_TYPE)


class FileViewSet(ApiViewSet):
    """Uploaded archives."""

    serializer_class = UploadAnswer
    action_throttles = {"create": (ApiThrottle, UploadThrottle)}

    @extend_schema(
        operation_id="upload_file",
        request={GENERAL_TYPE: OpenApiTypes.BINARY},
        responses={200: UploadAnswer, 201: UploadAnswer},
    )
    def create(self, request: Request) -> Response:
        """Upload a tar or zip file. The content type can also be ``application/x-tar`` or ``application/zip``. The body
        is received only from callers with valid credentials."""
        if not stored.may_upload(self.actor):
            raise Forbidden
        content_type = request.content_type.partition(";")[0].strip().lower()
        if content_type not in ARCHIVE_TYPES:
            raise DomainError(
                f"Unsupported content type: {content_type or 'none'}.",
                detail=f"Use one of {', '.join(ARCHIVE_TYPES)}.",
            )
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=settings.FILE_UPLOAD_TEMP_DIR) as sink:
            checked = archive.check(request._request, limit_bytes=settings.UPLOAD_MAX_BYTES, sink=sink)
            sink.seek(0)
            upload = stored.store_stream(self.actor, sink, size=checked.size, sha256=checked.sha256)
        left_out = {"left_out": checked.dropped} if checked.dropped else {}
        return self.respond({"hash": upload.file.pk, **left_out}, status=201 if upload.created else 200)

    @extend_schema(
        operation_id="download_file",
        parameters=[OpenApiParameter("format", str, enum=FORMATS, description="`zip`, or a tar without it.")],
        responses={
            (200, "application/x-tar"): OpenApiTypes.BINARY,
            (200, "application/zip"): OpenApiTypes.BINARY,
        },
    )
    def retrieve(self, request: Request, file: str) -> HttpResponseBase:
        """Download an archive. Returns 404 if the caller may not read it."""
        found = stored.find(self.actor, path_uuid("fileID", file))
        wanted = request.query_params.get("format", "")
        if wanted not in {"", *FORMATS}:
            raise Invalid.field("format", f"Must be one of {', '.join(FORMATS)}.")
        return stored.download_zip(found) if wanted == "zip" else stored.download(found)
