"""The words that the queue and its daemons share. No Django: a daemon on another machine imports them."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROVISIONERS = ("terraform", "echo")
# What a job needs when nothing is asked for. It matches only daemons that have exactly these tags.
DEFAULT_TAGS = {"scope": "organization"}


class LeaseLost(Exception):
    """The job is not (any more) the caller's: it was taken over, ended or deleted. Drop the work."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a job: its id and the token that the claim set."""

    job_id: uuid.UUID
    token: uuid.UUID


@dataclass(frozen=True, slots=True)
class Worker:
    """A daemon that asks for work: what it can run, and whose jobs, when it is not everybody's."""

    daemon_id: uuid.UUID
    provisioners: Sequence[str]
    tags: Mapping[str, str]
    organization_id: uuid.UUID | None = None
