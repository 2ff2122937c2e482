"""API client for tests, which calls Django's handler as a given user."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from coderproj.identity import tokens
from coderproj.identity.models import User


class ApiClient:
    """Sends JSON as one user; ``user=None`` sends no token. Responses have the decoded body as ``.body``.

    ``accept=None`` omits the Accept header, like the Go SDK.
    """

    def __init__(self, user: User | None = None, *, accept: str | None = "application/json") -> None:
        self.client = Client()
        self.headers: dict[str, str] = {}
        if accept is not None:
            self.headers["HTTP_ACCEPT"] = accept
        if user is not None:
            _, token = tokens.issue(user=user)
            self.headers["HTTP_CODER_SESSION_TOKEN"] = token

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **extra: Any) -> HttpResponse:
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        content_type = extra.pop("content_type", "application/json")
        response = self.client.generic(
            method, f"/api/v2/{path}", data, content_type=content_type, **self.headers, **extra
        )
        content = b"".join(response) if response.streaming else response.content
        response.raw = content
        is_json = bool(content) and "json" in response.headers.get("Content-Type", "")
        response.body = json.loads(content) if is_json else None
        return response

    def get(self, path: str, **extra: Any) -> HttpResponse:
        return self.call("GET", path, **extra)

    def post(self, path: str, body: Any = None, **extra: Any) -> HttpResponse:
        return self.call("POST", path, body, **extra)

    def patch(self, path: str, body: Any = None, **extra: Any) -> HttpResponse:
        return self.call("PATCH", path, body, **extra)

    def delete(self, path: str, **extra: Any) -> HttpResponse:
        return self.call("DELETE", path, **extra)

    def put(self, path: str, body: Any = None, **extra: Any) -> HttpResponse:
        return self.call("PUT", path, body, **extra)


def fields_of(response: HttpResponse) -> list[str]:
    """Return the field names in an error."""
    return [problem["field"] for problem in response.body.get("validations", ())]
