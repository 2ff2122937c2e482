"""The executor: start and stop the workspaces that are due. Any number of processes may run it at the same time.

The database's clock decides. One statement finds what is due. At the same time, such as nine o'clock, many workspaces
are, so several of them share a transaction. It locks their rows and makes the decisions again. So a ``due_at`` that is
out of date only costs a look, and of several executors one acts. What fails in such a transaction is repeated for
halves of its workspaces, and so in the end fails for the broken ones alone.

A start whose template has costly patterns can take seconds, and users' builds and reports of agents wait for locked
rows. So a transaction ends early after HELD_SECONDS, and the rest of its workspaces stay due. Within a pass those of
slow templates come last, and a pass takes templates in turn: a costly template delays its own workspaces.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import Exists, F, OuterRef, Window
from django.db.models.functions import Now, RowNumber

from coderproj.base.errors import DomainError
from coderproj.identity.models import Membership, UserStatus
from provisioning.engine.base import Transition
from templates_app.workspaces import due
from templates_app.workspaces.models import BuildReason, Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds

logger = logging.getLogger(__name__)

# Workspaces that a pass handles; the next pass goes on.
BATCH = 1000
# Workspaces that share a transaction: while it runs, users wait for their rows.
TOGETHER = 100
# A transaction takes no further workspace after this time. One workspace can take PATTERN_SECONDS more.
HELD_SECONDS = 1.0
# A template is slow, for the rest of a pass, if one of its workspaces takes this long; a few milliseconds are usual.
SLOW_SECONDS = 0.1
# A pass begins no further transaction after this time, so that the next one finds what has become due meanwhile.
PASS_SECONDS = 10.0
# The pause of a workspace whose rows the executor cannot make sense of.
UNDECIDED = timedelta(hours=1)
REASONS = {Transition.START: BuildReason.AUTOSTART, Transition.STOP: BuildReason.AUTOSTOP}
MEMBER = Exists(Membership.objects.filter(user=OuterRef("owner"), organization=OuterRef("organization")))


@dataclass(slots=True)
class Pass:
    """What a pass did: workspaces that were due, builds that it queued, workspaces that could not be built.

    ``left`` are the workspaces that transactions left to the next ones, ``slow`` the templates that took long.
    """

    due: int = 0
    built: int = 0
    failed: int = 0
    left: list[uuid.UUID] = field(default_factory=list)
    slow: set[uuid.UUID] = field(default_factory=set)

    def add(self, other: "Pass") -> None:
        self.due += other.due
        self.built += other.built
        self.failed += other.failed
        self.left += other.left
        self.slow |= other.slow


def run(is_stopping: Callable[[], bool] = lambda: False) -> Pass:
    """Queue the builds that are due, until ``is_stopping`` returns True. An error of one workspace is logged, and that
    workspace waits for its next time.

    Raises OperationalError and InterfaceError, after which the pass can be repeated.
    """
    done = Pass()
    until = time.monotonic() + PASS_SECONDS
    waiting = _due()
    while waiting and time.monotonic() < until and not is_stopping():
        together, waiting = waiting[:TOGETHER], waiting[TOGETHER:]
        done.left = []
        done.add(_handle([workspace_id for workspace_id, _ in together]))
        left = set(done.left)
        waiting = [one for one in together if one[0] in left] + waiting
        waiting.sort(key=lambda one: one[1] in done.slow)
    done.left = []
    return done


def _due() -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return ids and templates of up to BATCH workspaces that are due: the first of each template, then the second …"""
    turn = Window(RowNumber(), partition_by=F("template_id"), order_by=F("due_at").asc())
    rows = Workspace.objects.filter(due_at__lte=Now()).annotate(turn=turn).order_by("turn", "due_at")
    return list(rows.values_list("pk", "template_id")[:BATCH])


def run_task(is_stopping: Callable[[], bool]) -> int:
    """Run a pass for a worker. Return the number of workspaces that were due."""
    done = run(is_stopping)
    if done.built or done.failed:
        logger.info("Queued %d automatic builds; %d were not possible", done.built, done.failed)
    return done.due


def _handle(ids: Sequence[uuid.UUID]) -> Pass:
    """Queue the builds of workspaces that are due, in one transaction if the database accepts all of them."""
    try:
        return _build(ids)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - it is logged, and the other workspaces are handled
        done = Pass()
        if len(ids) == 1:
            return _leave_out(ids[0], error)
        for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            done.add(_handle(half))
        return done


@transaction.atomic
def _build(ids: Sequence[uuid.UUID]) -> Pass:
    """Queue the builds of workspaces that are due, as far as the time allows, but of at least one. A build that cannot
    be queued is logged. Raises DatabaseError, and then has stored nothing."""
    done = Pass()
    planned = []
    began = time.monotonic()
    workspaces = _locked(ids)
    latest = builds.latest_builds(workspaces)
    for index, workspace in enumerate(workspaces):
        since = time.monotonic()
        if index and since - began > HELD_SECONDS:
            done.left = [one.pk for one in workspaces[index:]]
            break
        one = _plan(workspace, latest.get(workspace.pk), done)
        if one is not None:
            planned.append(one)
        if time.monotonic() - since > SLOW_SECONDS:
            done.slow.add(workspace.template_id)
    if planned:
        builds.add_all(planned)
    done.due, done.built = len(ids) - len(done.left), len(planned)
    return done


def _plan(workspace: Any, latest: WorkspaceBuild | None, done: Pass) -> builds.Planned | None:
    """Return the build of a locked workspace; None if there is none, which is stored. Counts failures in ``done``.
    Raises DatabaseError."""
    wanted = _wanted(workspace, latest)
    if wanted is None:
        due.reschedule(workspace, latest)
        return None
    new = builds.NewBuild(transition=wanted.transition, reason=REASONS[wanted.transition])
    try:
        one = builds.plan(workspace, latest, new, initiator_id=workspace.owner_id)
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001 - it is logged, and does not concern the others
        _log(workspace, wanted, error)
        due.leave_out(workspace, latest, wanted.transition, workspace.now)
        done.failed += 1
        return None
    # Whatever the clock does, no later build comes of this time.
    workspace.last_due_at = max(wanted.at, workspace.last_due_at or wanted.at)
    return one


@transaction.atomic
def _leave_out(workspace_id: uuid.UUID, error: Exception) -> Pass:
    """Let a workspace that could not be handled wait for its next time."""
    done = Pass(due=1)
    for workspace in _locked([workspace_id]):
        latest = builds.latest_build(workspace)
        try:
            wanted = _wanted(workspace, latest)
        except DatabaseError:
            raise
        except Exception:
            logger.exception("Workspace %s: what is due cannot be decided", workspace_id)
            Workspace.objects.filter(pk=workspace_id).update(due_at=workspace.now + UNDECIDED)
            done.failed = 1
            continue
        if wanted is not None:
            _log(workspace, wanted, error)
            due.leave_out(workspace, latest, wanted.transition, workspace.now)
            done.failed = 1
    return done


def _locked(ids: Sequence[uuid.UUID]) -> list[Any]:
    """Return those workspaces that are due, locked, in this order, with their owners and templates, the time (``now``)
    and ``is_member``; without those that are not due any more, or that another transaction has."""
    rows = Workspace.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    rows = rows.select_related("owner", "template")
    rows = rows.annotate(now=Now(), is_member=MEMBER)
    found = {row.pk: row for row in rows.filter(pk__in=ids, due_at__lte=Now())}
    return [found[pk] for pk in ids if pk in found]


def _wanted(workspace: Any, latest: WorkspaceBuild | None) -> due.Due | None:
    """Return what to do with a locked workspace; None for nothing. A start is left out if the owner could not start the
    workspace (decision: automatic starts of suspended owners), or if the template allows no automatic starts."""
    wanted = due.due_now(workspace, latest, workspace.now)
    if wanted is not None and wanted.transition is Transition.START and not _may_start(workspace):
        workspace.last_due_at = workspace.now
        return due.due_now(workspace, latest, workspace.now)
    return wanted


def _may_start(workspace: Any) -> bool:
    owner, template = workspace.owner, workspace.template
    is_active = not owner.deleted and owner.status == UserStatus.ACTIVE
    return workspace.is_member and is_active and template.allow_user_autostart


def _log(workspace: Workspace, wanted: due.Due, error: Exception) -> None:
    transition = wanted.transition
    if isinstance(error, DomainError):
        reason = " ".join([error.message, error.detail, *(problem.detail for problem in error.problems)])
        logger.warning("Workspace %s: its automatic %s was not possible: %s", workspace.pk, transition, reason)
    else:
        logger.error("Workspace %s: its automatic %s failed", workspace.pk, transition, exc_info=error)
