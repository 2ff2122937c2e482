"""Rendering of responses and content negotiation."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.http import HttpRequest
from rest_framework import negotiation, renderers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from coderproj.base.json_text import to_json


class CompactJSONRenderer(renderers.BaseRenderer):
    """Compact UTF-8 JSON on one line that ends with a newline, keys in the serializer's order.

    Shell clients match ``"key":"value"`` without spaces and read line by line.
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


class AlwaysJSON(negotiation.BaseContentNegotiation):
    """Ignores ``Accept`` and ``Content-Type``: responses and bodies are always JSON. Real clients send bodies without a
    type or with a wrong one."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(  # type: ignore[override]
        self,
        request: Request | HttpRequest,
        renderers: list[renderers.BaseRenderer],
        format_suffix: str | None = None,
    ) -> tuple[renderers.BaseRenderer, str]:
        return renderers[0], renderers[0].media_type
