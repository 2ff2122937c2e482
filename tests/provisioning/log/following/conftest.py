"""A job with a log, a token of its initiator, and functions to write and read the log."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from coderproj.identity import tokens
from provisioning.engine.base import LogLevel, LogLine, LogSource
from provisioning.log import writing
from provisioning.models import ProvisionerJob
from provisioning.notifications import END_MARK, LOG_CHANNEL, notify
from provisioning.queue import jobs
from provisioning.queue.jobs import Lease
from tests.factories import claim, make_job, make_organization, make_user
from tests.live import LiveApi

HEADER = "Coder-Session-Token"


class NoOutcome:
    """An import outcome that stores nothing."""

    def readme_found(self, job: ProvisionerJob, readme: str) -> None: ...

    def completed(self, job: ProvisionerJob, result: object) -> None: ...


@dataclass
class Followed:
    """A running job on a live server."""

    api: LiveApi
    job: ProvisionerJob
    lease: Lease
    token: str

    @property
    def path(self) -> str:
        return f"/api/v2/jobs/{self.job.pk}/logs"

    @property
    def url(self) -> str:
        return self.api.url + self.path

    @property
    def headers(self) -> dict[str, str]:
        return {HEADER: self.token}

    def write(self, *outputs: str, at: float | None = None) -> None:
        writing.append(self.job.pk, self.lease.token, [line(output, at=at) for output in outputs])

    def complete(self) -> None:
        jobs.fail(self.lease, "done")

    def socket(self, query: str = "follow", **options) -> ClientConnection:
        options.setdefault("additional_headers", self.headers)
        return connect(f"{self.api.ws_url}{self.path}?{query}", proxy=None, **options)

    def get(self, query: str = "", headers: dict[str, str] | None = None, **options) -> httpx.Response:
        return httpx.get(f"{self.url}?{query}", headers={**self.headers, **(headers or {})}, **options)


def line(output: str, *, at: float | None = None, stage: str = "Planning") -> LogLine:
    return LogLine(LogSource.ENGINE, LogLevel.INFO, stage, output, time.time() if at is None else at)


@pytest.fixture
def followed(live_api: LiveApi, settings) -> Iterator[Followed]:
    settings.ROOT_URLCONF = "tests.provisioning.log.following.urls"
    organization = make_organization()
    user = make_user(organizations=(organization,))
    job = make_job(user=user, organization=organization)
    lease = claim()
    _, token = tokens.issue(user=user)
    yield Followed(live_api, job, lease, token)
    ProvisionerJob.objects.all().delete()
    notify((LOG_CHANNEL, f"{job.pk}{END_MARK}"))


def ids(messages) -> list[int]:
    """Return the ids of JSON messages or of parsed lines."""
    return [(json.loads(message) if isinstance(message, str | bytes) else message)["id"] for message in messages]
