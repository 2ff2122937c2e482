"""When a workspace starts or stops by itself: the decision table of the contract (executor), without its defects.

``Workspace.due_at`` is the time at which the executor must look at a workspace again. What changes its inputs also
computes it: the end of a build, a new schedule, an extension. The executor decides again when the time has come.

Everything that the table depends on is stored, so it can be computed again at any time: what was tried or left out
before comes neither earlier nor twice. The pause after an attempt to stop counts from that attempt, whether its build
failed (``completed_at``) or could not be queued (``stop_tried_at``). ``last_due_at`` covers a start that was queued,
could not be queued or was left out.

| latest build | stops | starts |
| --- | --- | --- |
| a start that succeeded | at its deadline | |
| a start that failed or was canceled | at its deadline: something can exist | at the next time of the schedule |
| a stop that succeeded | | at the next time of the schedule |
| a stop that failed or was canceled | again after a pause | at the next time of the schedule |
| a deletion that failed or was canceled | at the deadline of the start before it | |

A build that was canceled before it ran changed nothing, so the one before it counts. A stop of a user that failed is
repeated at the deadline of the start before it; without a deadline the workspace never stops by itself. Whether the
owner is active is decided when the workspace is due: a start of a suspended owner is left out.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from provisioning.engine.base import Transition
from provisioning.models import JobStatus
from templates_app.workspaces.models import BuildReason, Workspace, WorkspaceBuild
from templates_app.workspaces.models.builds import WorkspaceBuildQuerySet
from templates_app.workspaces.schedule import BadSchedule, parse

# Minutes after the first, second … failed stop; the last one repeats.
RETRY_MINUTES = (1, 5, 15, 60)
# Far above what the pauses tell apart; the column is small.
MAX_FAILED_STOPS = 1000


@dataclass(frozen=True, slots=True)
class Due:
    """A transition that is due at a time."""

    at: datetime
    transition: Transition


# What the functions below change of a workspace.
FIELDS = ("due_at", "last_due_at", "failed_stops", "stop_tried_at")


def reschedule(workspace: Workspace, latest: WorkspaceBuild | None) -> None:
    """Store when a locked workspace is due. ``latest`` is its latest build, with its job."""
    workspace.due_at = due_at(workspace, latest)
    workspace.save(update_fields=FIELDS)


def due_at(workspace: Workspace, latest: WorkspaceBuild | None) -> datetime | None:
    """Return the next time at which something is due, None if nothing is."""
    return min((due.at for due in _dues(workspace, latest)), default=None)


def due_now(workspace: Workspace, latest: WorkspaceBuild | None, now: datetime) -> Due | None:
    """Return what to do at ``now``, None for nothing. Of several transitions that were missed, the last one counts."""
    past = (due for due in _dues(workspace, latest) if due.at <= now)
    return max(past, key=lambda due: due.at, default=None)


def leave_out(workspace: Workspace, latest: WorkspaceBuild | None, transition: Transition, now: datetime) -> None:
    """Store that what was due until ``now`` is not built: a start waits for the next time of the schedule, a stop for
    a pause, as after a stop that failed."""
    if transition is Transition.START:
        workspace.last_due_at = now
    else:
        workspace.failed_stops = min(workspace.failed_stops + 1, MAX_FAILED_STOPS)
        workspace.stop_tried_at = now
    reschedule(workspace, latest)


def count_failed_stops(workspace: Workspace, ended: WorkspaceBuild) -> None:
    """Count an automatic stop that failed; a build that succeeded ends the count. Does not save the workspace."""
    if ended.job.status == JobStatus.SUCCEEDED:
        workspace.failed_stops, workspace.stop_tried_at = 0, None
    elif ended.reason == BuildReason.AUTOSTOP:
        workspace.failed_stops = min(workspace.failed_stops + 1, MAX_FAILED_STOPS)


def pause_of(workspace: Workspace) -> timedelta:
    """Return the pause before the next attempt to stop (decision: retries of a failed automatic stop)."""
    return timedelta(minutes=RETRY_MINUTES[min(max(workspace.failed_stops, 1), len(RETRY_MINUTES)) - 1])


# ---------------------------------------------------------------------- the table
def _dues(workspace: Workspace, latest: WorkspaceBuild | None) -> Iterator[Due]:
    """Yield at most one stop and one start."""
    if workspace.deleted or latest is None or latest.job.completed_at is None:
        return
    counting = latest if latest.job.started_at is not None else _that_ran(workspace.pk).first() or latest
    stop = _stop_at(workspace, latest, counting)
    if stop is not None:
        tried = workspace.stop_tried_at
        yield Due(stop if tried is None else max(stop, tried + pause_of(workspace)), Transition.STOP)
    start = _start_at(workspace, latest, counting)
    if start is not None:
        yield Due(start, Transition.START)


def _stop_at(workspace: Workspace, latest: WorkspaceBuild, counting: WorkspaceBuild) -> datetime | None:
    assert latest.job.completed_at is not None
    again = latest.job.completed_at + pause_of(workspace)
    match counting.transition:
        case Transition.START:
            deadline = counting.deadline
            return deadline if deadline is None or latest is counting else max(deadline, again)
        case Transition.STOP if counting.job.status != JobStatus.SUCCEEDED:
            if counting.reason == BuildReason.AUTOSTOP:
                return again
            deadline = _deadline_before(counting)
            return None if deadline is None else max(deadline, again)
        case Transition.DELETE if counting.job.status != JobStatus.SUCCEEDED:
            deadline = _deadline_before(counting)
            return None if deadline is None else max(deadline, again)
    return None


def _start_at(workspace: Workspace, latest: WorkspaceBuild, counting: WorkspaceBuild) -> datetime | None:
    """Return the first time of the schedule after everything that was decided before."""
    has_succeeded = counting.job.status == JobStatus.SUCCEEDED
    if not workspace.autostart_schedule or counting.transition == Transition.DELETE:
        return None
    if counting.transition == Transition.START and has_succeeded:
        return None
    try:
        schedule = parse(workspace.autostart_schedule)
    except BadSchedule:  # written under other rules
        return None
    # A stop ends when it is asked for; after a failure the next time counts.
    ended = None if latest is counting and has_succeeded else latest.job.completed_at
    earlier = (latest.created_at, ended, workspace.schedule_set_at, workspace.last_due_at)
    return schedule.next_after(max(moment for moment in earlier if moment is not None))


def _that_ran(workspace_id: uuid.UUID) -> WorkspaceBuildQuerySet:
    rows = WorkspaceBuild.objects.filter(workspace=workspace_id, job__started_at__isnull=False)
    return rows.select_related("job").newest_first()


def _deadline_before(stop: WorkspaceBuild) -> datetime | None:
    """Return the deadline of the newest start since the last build that stopped the workspace."""
    before = _that_ran(stop.workspace_id).filter(build_number__lt=stop.build_number)
    stopped = before.exclude(transition=Transition.START.value).filter(job__error="", job__canceled_at=None).first()
    start = before.filter(
        transition=Transition.START.value, build_number__gt=stopped.build_number if stopped else 0
    ).first()
    return start.deadline if start else None
