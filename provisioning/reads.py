"""Compiled reads of the logs of objects that have a job, such as versions and builds."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet

from coderproj.identity.actor import Actor
from coderproj.reads.compiled import FinalRead, Read
from provisioning.log.reading import PageOfLog

# True for an object whose job has ended: its results and its log are final, because no lease allows a change.
COMPLETED = ExpressionWrapper(Q(job__completed_at__isnull=False), output_field=BooleanField())
OfOneRow = QuerySet[Any, Any]
# Returns the object with an id, if the actor may see it.
Find = Callable[[Actor, uuid.UUID], OfOneRow]


def read_job_of(find: Find) -> Read:
    """Return the read of the id of an object's job."""

    def job_of(actor: Actor, object_id: uuid.UUID) -> OfOneRow:
        return find(actor, object_id).values_list("job_id")

    return Read(job_of)


def read_log_of(find: Find) -> FinalRead:
    """Return the read of the first page of a job's log within bounds, the job's id, and whether it has ended. Its
    ``visible`` is the read of the job's id."""

    def log_of(
        actor: Actor,
        object_id: uuid.UUID,
        after_id: int | None,
        before_id: int | None,
        after_time: datetime | None,
        before_time: datetime | None,
    ) -> OfOneRow:
        page = PageOfLog(
            F("job_id"), after_id=after_id, before_id=before_id, after_time=after_time, before_time=before_time
        )
        return find(actor, object_id).values_list(page, "job_id", COMPLETED)

    return FinalRead(log_of, visible=read_job_of(find))
