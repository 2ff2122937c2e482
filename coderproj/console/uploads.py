"""The size limit of a page's form: the API's limit, and a small one for callers without a session."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler, StopUpload

from coderproj.console.session import actor_of

# Bytes of a form besides its file.
AROUND = 64 * 1024


class LimitedUpload(FileUploadHandler):
    """Rejects a form by its declared length before it is parsed, and stops one that is longer than declared."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: Mapping[str, Any],  # noqa: N803 - Django's names
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        assert self.request is not None
        signed_in = actor_of(self.request) is not None
        self._left = settings.UPLOAD_MAX_BYTES if signed_in else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if content_length > self._left + AROUND:
            raise RequestDataTooBig

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        self._left -= len(raw_data)
        if self._left < 0:
            raise StopUpload(connection_reset=True)
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
