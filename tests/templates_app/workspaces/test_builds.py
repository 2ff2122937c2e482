"""Builds through the services and the queue: their numbers, outcomes and states."""

import pytest

from coderproj.base.errors import Invalid
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditLog
from provisioning.engine.base import (
    MAX_STATE,
    BuildResult,
    ImportResult,
    PlanResult,
    Resource,
    RichParameter,
    Transition,
)
from provisioning.models import ProvisionerJob
from provisioning.protocol.client import DaemonFacts
from provisioning.protocol.leases import LeaseLost, Worker
from provisioning.queue import jobs
from provisioning.queue.daemon_service import JobService
from templates_app.workspaces import states
from templates_app.workspaces.models import BuildStatus, Workspace, WorkspaceBuild, build_status_expression
from templates_app.workspaces.services import builds, workspaces
from templates_app.workspaces.services.access import WorkspaceGone
from templates_app.workspaces.services.values import InvalidValues, NamedValue
from tests.factories import claim, make_template
from tests.templates_app.workspaces.lives import begin, build, finish_build

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace(ada, organization, template):
    return begin(ada, organization, template)


def test_life_of_a_workspace(ada, workspace):
    started = finish_build(state=b'{"serial": 1}', result=BuildResult((Resource("dev", "vm", daily_cost=3),)))
    assert (started.build_number, started.status, started.daily_cost) == (1, BuildStatus.RUNNING, 3)
    assert started.deadline is not None
    assert [row.name for row in started.job.resources.all()] == ["dev"]
    build(ada, workspace, "stop")
    stopped = finish_build(state=b'{"serial": 2}')
    assert (stopped.build_number, stopped.status, stopped.deadline) == (2, BuildStatus.STOPPED, None)
    build(ada, workspace, "delete")
    deleted = finish_build()
    assert deleted.status == BuildStatus.DELETED
    assert states.state_of(deleted) == b'{"serial": 2}'
    workspace.refresh_from_db()
    assert (workspace.deleted, workspace.latest_build_id) == (True, deleted.pk)
    rows = AuditLog.objects.filter(resource_type="workspace_build").order_by("time")
    assert [(row.action, row.status_code) for row in rows] == [("start", 200), ("stop", 200), ("delete", 200)]
    with pytest.raises(WorkspaceGone):
        build(ada, workspace, "start")


def test_workspace_has_one_build_at_a_time(ada, workspace):
    with pytest.raises(builds.Busy):
        build(ada, workspace, "stop")


def test_failed_build_keeps_its_state_and_its_deadline(ada, workspace):
    """BLD-31: the next build starts with what the failed one left behind."""
    failed = finish_build(state=b'{"serial": 7}', error="apply for start failed")
    assert (failed.status, states.state_of(failed)) == (BuildStatus.FAILED, b'{"serial": 7}')
    assert failed.deadline is not None
    assert states.state_of(build(ada, workspace, "delete")) == b'{"serial": 7}'


def test_state_that_comes_after_the_lease_has_expired_is_kept(workspace):
    """BLD-33."""
    lease = claim(lease_seconds=0.001)
    assert jobs.expire() == [lease.job_id]
    with pytest.raises(LeaseLost):
        jobs.store_state(lease, b'{"serial": 3}')
    found = WorkspaceBuild.objects.get(job_id=lease.job_id)
    assert (found.status, states.state_of(found)) == (BuildStatus.FAILED, b'{"serial": 3}')


def test_status_is_the_same_in_sql(ada, workspace):
    for transition in ("start", "stop", "delete"):
        if transition != "start":
            build(ada, workspace, transition)
        for step in (lambda: None, claim):
            step()
            [found] = Workspace.objects.annotate(status=build_status_expression("latest_build__"))
            assert found.status == found.latest_build.status
        jobs.cancel(found.latest_build.job_id)
        [found] = Workspace.objects.annotate(status=build_status_expression("latest_build__"))
        assert found.status == found.latest_build.status == BuildStatus.CANCELING
        jobs.expire()
        job = found.latest_build.job
        job.refresh_from_db()
        jobs.finish_canceled(jobs.Lease(job.pk, job.lease))


def test_states_are_encrypted_and_keys_rotate(workspace, settings):
    found = finish_build(state=b'{"secret": "hunter2"}')
    stored = bytes(found.state.encrypted)
    assert b"hunter2" not in stored
    settings.STATE_KEYS = ["new", *settings.STATE_KEYS]
    rotated = states.rotate(stored)
    settings.STATE_KEYS = ["new"]
    assert states.decrypt(rotated) == b'{"secret": "hunter2"}'
    with pytest.raises(states.StateUnreadable):
        states.decrypt(stored)


# ---------------------------------------------------------------------- values
def versioned(owner, organization, *parameters):
    """Return a template whose only version has these rich parameters."""
    plan = PlanResult(rich_parameters=parameters)
    return make_template(user=owner, organization=organization, result=ImportResult(plan, PlanResult()))


def create(ada, organization, template, **given):
    new = workspaces.NewWorkspace(
        "values", template_id=template.pk, rich_values=[NamedValue(name, value) for name, value in given.items()]
    )
    made = workspaces.create(Actor.of(ada), organization, ada, new)
    finish_build()
    return made


def test_workspace_with_an_ephemeral_parameter_can_be_stopped(ada, owner, organization):
    template = versioned(owner, organization, RichParameter("once", ephemeral=True, mutable=True))
    workspace = create(ada, organization, template, once="now")
    assert build(ada, workspace, "stop").transition == "stop"
    finish_build()
    with pytest.raises(InvalidValues, match="invalid"):
        build(ada, workspace, "start")
    assert build(ada, workspace, "delete").transition == "delete"


def test_default_of_an_immutable_parameter_cannot_be_changed_later(ada, owner, organization):
    template = versioned(owner, organization, RichParameter("disk", default_value="10"))
    workspace = create(ada, organization, template)
    changed = builds.NewBuild(Transition.START, rich_values=[NamedValue("disk", "20")])
    with pytest.raises(InvalidValues):
        builds.create(Actor.of(ada), workspace, changed)
    same = builds.NewBuild(Transition.START, rich_values=[NamedValue("disk", "10")])
    assert builds.create(Actor.of(ada), workspace, same).build_number == 2


# ---------------------------------------------------------------------- given states
@pytest.fixture
def of_terraform(template):
    ProvisionerJob.objects.filter(pk=template.active_version.job_id).update(provisioner="terraform")


NO_STATES = [
    *(b"no JSON", b"[]", b"{}", b'{"lineage": 1}', b'{"lineage": ""}', b'{"lineage": "own"', b'{"a":' * 100_000),
    *(b"\xff\xfe", b'{"lineage": "own", "a": "\xff"}', b'{"lineage": "other"}'),
]


@pytest.mark.parametrize("state", NO_STATES)
def test_state_of_something_else_is_refused(owner, workspace, of_terraform, state):
    finish_build(state=b'{"lineage": "own", "serial": 1}')
    given = builds.NewBuild(Transition.START, state=state)
    with pytest.raises(Invalid) as caught:
        builds.create(Actor.of(owner), workspace, given)
    assert [problem.field for problem in caught.value.problems] == ["state"]
    own = builds.NewBuild(Transition.START, state=b'{"lineage": "own", "serial": 9}')
    assert states.state_of(builds.create(Actor.of(owner), workspace, own)) == own.state


def test_large_states_are_accepted_up_to_the_limit(owner, workspace, of_terraform):
    finish_build(state=b'{"lineage": "own"}')
    state = b'{"lineage": "own"}'.ljust(MAX_STATE)
    with pytest.raises(builds.StateTooLarge):
        build(owner, workspace, "stop", state=state + b" ")
    assert states.facts_of(build(owner, workspace, "stop", state=state)).size == MAX_STATE


def test_facts_of_a_state_are_those_of_the_build_that_stored_it(ada, owner, workspace):
    assert states.facts_of(workspace.latest_build) is None
    first = finish_build(state=b"first")
    build(ada, workspace, "stop")
    second = finish_build()
    build(owner, workspace, "delete", orphan=True)
    third = finish_build()
    facts = [states.facts_of(one) for one in (first, second, third)]
    assert [(one.size, one.build_number) for one in facts] == [(5, 1), (5, 1), (0, 3)]
    assert facts[0].stored_at == first.state.updated_at


def test_build_whose_state_cannot_be_decrypted_fails(ada, workspace, settings):
    """The daemon must neither end nor claim the job again."""
    finish_build(state=b'{"serial": 1}')
    waiting = build(ada, workspace, "stop")
    settings.STATE_KEYS = ["another"]
    service = JobService()
    daemon_id = service.register(DaemonFacts("d", {}, ("echo",), 1, "", "", "", ""))
    worker = Worker(daemon_id, ["echo"], waiting.job.tags)
    assert service.acquire(worker, lease_seconds=60) is None
    waiting.job.refresh_from_db()
    assert waiting.job.error.startswith("The state cannot be decrypted.")
