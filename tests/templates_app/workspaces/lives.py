"""Steps in the lives of workspaces that several tests take."""

from datetime import timedelta
from typing import Any

from django.db.models import F

from coderproj.identity.actor import Actor
from provisioning.engine.base import BuildResult, Transition
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds, workspaces
from tests.factories import claim

TTL_MS = 8 * 3_600_000


def begin(ada, organization, template, *, name: str = "dev", ttl_ms: int | None = TTL_MS, **fields: Any) -> Workspace:
    """Create a workspace; its first build is pending."""
    new = workspaces.NewWorkspace(name, template_id=template.pk, ttl_ms=ttl_ms, **fields)
    return workspaces.create(Actor.of(ada), organization, ada, new)


def build(user, workspace, transition: str, **fields: Any) -> WorkspaceBuild:
    """Queue a build by a user."""
    return builds.create(Actor.of(user), workspace, builds.NewBuild(Transition(transition), **fields))


def finish_build(*, state: bytes = b"", result: BuildResult | None = None, error: str = "") -> WorkspaceBuild:
    """Claim the waiting build and end it, after it has stored a state."""
    lease = claim()
    if state:
        jobs.store_state(lease, state)
    if error:
        jobs.fail(lease, error)
    else:
        jobs.complete(lease, result or BuildResult())
    return WorkspaceBuild.objects.get(job_id=lease.job_id)


def let_pass(duration: timedelta) -> None:
    """Let time pass for all workspaces: everything that happened, and all that is due, moves into the past.

    A negative duration is a clock that goes backwards.
    """
    for model, names in (
        (
            Workspace,
            ("created_at", "updated_at", "schedule_set_at", "stop_tried_at", "due_at", "last_due_at", "last_used_at"),
        ),
        (WorkspaceBuild, ("created_at", "updated_at", "deadline")),
        (
            ProvisionerJob,
            ("created_at", "updated_at", "started_at", "canceled_at", "completed_at", "lease_expires_at"),
        ),
    ):
        model.objects.update(**{name: F(name) - duration for name in names})
