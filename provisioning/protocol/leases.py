"""Types that the queue and its daemons share. No Django: daemons on other machines import this module."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROVISIONERS = ("terraform", "echo")
# The tags of a job for which none are given. It runs only on daemons with exactly these tags.
DEFAULT_TAGS = {"scope": "organization"}


class LeaseLost(Exception):
    """The lease is invalid: another daemon claimed the job, or the job has ended or was deleted."""


class StateKept(LeaseLost):
    """The lease is invalid, but the server has stored the state that the job left behind."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write to a job: its id and the token that the claim set."""

    job_id: uuid.UUID
    token: uuid.UUID


@dataclass(frozen=True, slots=True)
class Worker:
    """A daemon that claims jobs: the engines it has, its tags, and its organization unless it serves all."""

    daemon_id: uuid.UUID
    provisioners: Sequence[str]
    tags: Mapping[str, str]
    organization_id: uuid.UUID | None = None
