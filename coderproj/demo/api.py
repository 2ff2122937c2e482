"""A small client of the REST API, for the demonstration."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx


class ApiError(Exception):
    """An error response: its message, detail and invalid fields in one text."""

    def __init__(self, response: httpx.Response) -> None:
        try:
            body = response.json()
            fields = "; ".join(f"{item['field']}: {item['detail']}" for item in body.get("validations", ()))
            texts = [body["message"], body.get("detail", ""), fields]
        except (ValueError, TypeError, LookupError, AttributeError):  # not the error envelope, perhaps a proxy's page
            texts = [f"status {response.status_code}", response.text[:200]]
        super().__init__(f"{response.request.method} {response.request.url.path}: {' '.join(filter(None, texts))}")
        self.status_code = response.status_code


class Api:
    """Sends requests to one server as one user."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.client = httpx.Client(
            base_url=f"{url}/api/v2/",
            headers={"Coder-Session-Token": token},
            timeout=httpx.Timeout(30),
            trust_env=False,  # no proxy for requests to this machine
        )

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Send a request and return the decoded response. Raises ApiError unless it succeeds."""
        response = self.client.request(method, path, json=body, **options)
        if not response.is_success:
            raise ApiError(response)
        return response.json()

    def find(self, path: str) -> Any | None:
        """Return the resource at ``path``, None for 404."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.status_code == 404:
                return None
            raise

    def upload(self, archive: bytes) -> str:
        """Store a tar archive and return its file id."""
        answer = self.call("POST", "files", content=archive, headers={"Content-Type": "application/x-tar"})
        return str(answer["hash"])

    def follow(self, path: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """Yield the lines of a log with the times of their arrival, until the job ends."""
        headers = {"Accept": "text/event-stream"}
        with self.client.stream("GET", path, params={"follow": "true"}, headers=headers, timeout=None) as response:
            if not response.is_success:
                response.read()
                raise ApiError(response)
            for line in response.iter_lines():
                if line == "event: end":
                    return
                if line.startswith("data: {"):
                    yield time.perf_counter(), json.loads(line.removeprefix("data: "))
