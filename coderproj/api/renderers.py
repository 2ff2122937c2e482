"""What answers look like on the wire."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from django.http import HttpRequest
from rest_framework import negotiation, renderers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

JSON_CONTENT_TYPE = "application/json; charset=utf-8"


class CompactJSONRenderer(renderers.BaseRenderer):
    """Compact UTF-8 JSON on one line that ends with a newline, keys in the serializer's order.

    Shell clients match ``"key":"value"`` without blanks, and read line by line.
    """

    media_type = "application/json"
    format = "json"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else to_json(data)


def to_json(data: Any) -> bytes:
    """``data`` as the API writes it: UUIDs as text, lazy texts and lists evaluated. Times come as ``moment_text``."""
    return msgspec.json.encode(data, enc_hook=_plain) + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value)
    if hasattr(value, "__iter__"):
        return list(value)
    return str(value)


class AlwaysJSON(negotiation.BaseContentNegotiation):
    """Answers JSON whatever ``Accept`` says and reads a body whatever ``Content-Type`` says: real clients send
    bodies without a type, and types that do not fit."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(  # type: ignore[override]
        self,
        request: Request | HttpRequest,
        renderers: list[renderers.BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[renderers.BaseRenderer, str]:
        return renderers[0], renderers[0].media_type
