"""Passes of the executor: errors, statements, several executors, and clocks that jump (contract, executor)."""

import logging

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from coderproj.identity.models import AuditLog
from provisioning.engine.base import ImportResult, PlanResult, RichParameter
from provisioning.models import ParameterSchema, ProvisionerJob
from templates_app.workspaces import due, executor
from templates_app.workspaces.models import BuildParameter, Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds
from templates_app.workspaces.services.values import NamedValue
from tests.factories import make_template
from tests.templates_app.workspaces.automatic import DAY, HOUR, HOURLY, MINUTE, START, STOP, run
from tests.templates_app.workspaces.lives import begin, build, finish_build, let_pass

pytestmark = pytest.mark.django_db


# ---------------------------------------------------------------------- errors
def test_other_workspaces_are_handled_if_one_is_broken(ada, owner, organization, template, stopped, caplog):
    """EXE-19: the broken ones are named in the log, and wait for their next time."""
    begin(ada, organization, template, name="other")
    finish_build()
    broken = make_template(user=owner, organization=organization)
    begin(ada, organization, broken, name="stops")
    finish_build()
    starts = begin(ada, organization, broken, name="starts", autostart_schedule=HOURLY)
    finish_build()
    build(ada, starts, "stop")
    finish_build()
    ProvisionerJob.objects.filter(pk=broken.active_version.job_id).update(error="it is gone")
    let_pass(8 * HOUR)
    with caplog.at_level(logging.WARNING):
        assert sorted(run()) == [START, STOP]
    lines = [record.getMessage() for record in caplog.records if record.name == executor.__name__]
    assert len(lines) == 2
    for name, transition in (("stops", "stop"), ("starts", "start")):
        workspace = Workspace.objects.get(name=name)
        [line] = [line for line in lines if str(workspace.pk) in line]
        assert f"its automatic {transition} was not possible" in line
        assert "it is gone" in line
    assert run() == []
    let_pass(MINUTE)
    assert run() == []  # the stop was tried again
    assert Workspace.objects.get(name="stops").failed_stops == 2
    ProvisionerJob.objects.filter(pk=broken.active_version.job_id).update(error="")
    let_pass(HOUR)
    assert sorted(run()) == [START, STOP]


def test_unexpected_error_is_logged_with_its_trace(running, caplog):
    WorkspaceBuild.objects.update(build_number=2**31 - 1)  # there is no next number
    let_pass(8 * HOUR)
    with caplog.at_level(logging.ERROR):
        assert run() == []
    [record] = [record for record in caplog.records if record.name == executor.__name__]
    assert (f"Workspace {running.pk}" in record.getMessage(), record.exc_info is not None) == (True, True)
    running.refresh_from_db()
    assert running.failed_stops == 1
    assert running.due_at is not None


@pytest.mark.parametrize("together", [1, 3, 100])
def test_what_the_database_refuses_stops_no_other(ada, organization, template, caplog, monkeypatch, together):
    """Those that share a transaction with it are handled again without it."""
    monkeypatch.setattr(executor, "TOGETHER", together)
    for index in range(8):
        begin(ada, organization, template, name=f"dev-{index}")
        finish_build()
    broken = Workspace.objects.get(name="dev-5")
    WorkspaceBuild.objects.filter(workspace=broken).update(build_number=2**31 - 1)
    let_pass(8 * HOUR)
    with caplog.at_level(logging.ERROR):
        assert run() == [STOP] * 7
    [record] = [record for record in caplog.records if record.name == executor.__name__]
    assert f"Workspace {broken.pk}: its automatic stop failed" in record.getMessage()
    assert dict(Workspace.objects.filter(failed_stops__gt=0).values_list("name", "failed_stops")) == {"dev-5": 1}
    assert ProvisionerJob.objects.waiting().count() == 7
    assert run() == []


# ---------------------------------------------------------------------- costly templates
class Clock:
    """Stands for ``time`` in the executor, and counts what it takes to plan a build of some templates."""

    def __init__(self, monkeypatch, costs):
        self.now = 0.0
        self.planned = []
        self.transactions = 0
        plan, locked = builds.plan, executor._locked

        def count(ids):
            self.transactions += 1
            return locked(ids)

        def spend(workspace, latest, new, **options):
            self.planned.append(workspace.name)
            self.now += costs.get(workspace.template_id, 0.0)
            return plan(workspace, latest, new, **options)

        monkeypatch.setattr(executor, "time", self)
        monkeypatch.setattr(executor, "_locked", count)
        monkeypatch.setattr(builds, "plan", spend)

    def monotonic(self):
        return self.now


def begin_many(ada, organization, template, name, count):
    for index in range(count):
        begin(ada, organization, template, name=f"{name}-{index}")
        finish_build()


def left():
    return Workspace.objects.filter(due_at__lte=timezone.now()).count()


@pytest.mark.parametrize(("cost", "transactions"), [(0.05, 1), (0.4, 2), (2.0, 5)])
def test_transaction_ends_early_and_the_pass_goes_on(ada, organization, template, monkeypatch, cost, transactions):
    """Users wait for a second and one workspace at most."""
    begin_many(ada, organization, template, "dev", 5)
    let_pass(8 * HOUR)
    clock = Clock(monkeypatch, {template.pk: cost})
    done = executor.run()
    assert (done.due, done.built, done.failed, left()) == (5, 5, 0, 0)
    assert (clock.transactions, len(clock.planned)) == (transactions, 5)


def test_broken_workspace_of_a_costly_template_stops_no_other(ada, organization, template, monkeypatch, caplog):
    begin_many(ada, organization, template, "dev", 4)
    broken = Workspace.objects.get(name="dev-2")
    WorkspaceBuild.objects.filter(workspace=broken).update(build_number=2**31 - 1)
    let_pass(8 * HOUR)
    Clock(monkeypatch, {template.pk: 0.6})
    with caplog.at_level(logging.ERROR):
        done = executor.run()
    assert (done.due, done.built, done.failed, left()) == (4, 3, 1, 0)
    assert f"Workspace {broken.pk}: its automatic stop failed" in caplog.text


def test_pass_ends_and_the_next_one_goes_on(ada, organization, template, monkeypatch):
    begin_many(ada, organization, template, "dev", 7)
    let_pass(8 * HOUR)
    Clock(monkeypatch, {template.pk: 4.0})
    dones = [executor.run() for _ in range(3)]
    assert [done.built for done in dones] == [3, 3, 1]
    assert [done.due for done in dones] == [3, 3, 1]
    assert left() == 0


def test_costly_template_delays_its_own_workspaces(ada, owner, organization, template, monkeypatch):
    """Also if all of its workspaces are due before the others."""
    monkeypatch.setattr(executor, "BATCH", 8)
    costly = make_template(user=owner, organization=organization)
    begin_many(ada, organization, costly, "costly", 10)
    begin_many(ada, organization, template, "dev", 4)
    let_pass(8 * HOUR)
    Workspace.objects.filter(template=costly).update(due_at=timezone.now() - DAY)
    clock = Clock(monkeypatch, {costly.pk: 2.0})
    assert executor.run().built == 8
    assert [name.split("-")[0] for name in clock.planned] == ["costly", *["dev"] * 4, *["costly"] * 3]
    assert executor.run().built == 5  # ten seconds


def test_workspace_that_cannot_be_decided_stops_no_other(ada, organization, template, running, caplog, monkeypatch):
    begin(ada, organization, template, name="other")
    finish_build()
    let_pass(8 * HOUR)
    decide = due.due_now

    def due_now(workspace, latest, now):
        if workspace.pk == running.pk:
            raise ValueError("a row of another version")
        return decide(workspace, latest, now)

    with monkeypatch.context() as changed, caplog.at_level(logging.ERROR):
        changed.setattr(due, "due_now", due_now)
        assert run() == [STOP]
        assert run() == []
    assert f"Workspace {running.pk}: what is due cannot be decided" in caplog.text
    let_pass(HOUR)
    assert run() == [STOP]


def test_schedule_that_is_no_longer_allowed_starts_nothing(stopped):
    Workspace.objects.update(autostart_schedule="@daily")
    let_pass(HOUR)
    assert run() == []
    stopped.refresh_from_db()
    assert stopped.due_at is None


def test_lost_connection_ends_the_pass(running, monkeypatch):
    """What is due stays due, and the next pass handles it."""
    let_pass(8 * HOUR)

    def lose(execute, sql, parameters, many, context):
        if "INSERT" in sql:
            raise OperationalError("the connection is lost")
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(lose), pytest.raises(OperationalError):
        executor.run()
    assert run() == [STOP]


# ---------------------------------------------------------------------- watchers, audit, statements
def test_watchers_and_the_audit_log_are_told(ada, running, django_capture_on_commit_callbacks):
    """EXE-16."""
    let_pass(8 * HOUR)
    with django_capture_on_commit_callbacks() as told:
        assert run() == [STOP]
    assert len(told) == 2  # daemons, and watchers of the workspace
    stop = finish_build()
    row = AuditLog.objects.get(resource_type="workspace_build", action="stop")
    assert (row.user_id, row.status_code, row.request_id) == (ada.pk, 200, stop.job_id)
    assert row.additional_fields == {"workspaceName": "dev", "buildNumber": "2", "buildReason": "autostop"}


def test_pass_without_work_is_one_statement(stopped):
    """EXE-17: whatever the number of scheduled workspaces."""
    for count in (1, 300):
        copy_workspaces(stopped, count)
        with CaptureQueriesContext(connection) as queries:
            assert executor.run() == executor.Pass()
        assert len(queries) == 1


def copy_workspaces(workspace, count):
    """Add workspaces with the schedule of this one, each with a stopped build."""
    number = Workspace.objects.count()
    Workspace.objects.bulk_create(
        Workspace(
            name=f"copy-{number + index}",
            owner=workspace.owner,
            organization=workspace.organization,
            template=workspace.template,
            autostart_schedule=HOURLY,
            due_at=workspace.due_at,
        )
        for index in range(count)
    )


def test_number_of_statements_depends_on_what_is_due_only(ada, organization, template):
    """EXE-17."""
    counts = []
    for _ in range(2):
        for index in range(3):
            begin(ada, organization, template, name=f"due-{Workspace.objects.count()}-{index}")
            finish_build()
        let_pass(8 * HOUR)
        with CaptureQueriesContext(connection) as queries:
            assert executor.run().built == 3
        counts.append(len(queries))
        while ProvisionerJob.objects.waiting().exists():
            finish_build()
        copy_workspaces(Workspace.objects.first(), 300)
        Workspace.objects.filter(name__startswith="copy").update(due_at=None)
    assert counts[0] == counts[1]


def test_workspaces_that_are_due_at_once_share_their_statements(ada, owner, organization):
    """With values of parameters, and with a variable."""
    parameter = RichParameter(name="size", default_value="small", mutable=True)
    result = ImportResult(start=PlanResult(rich_parameters=(parameter,)), stop=PlanResult())
    counts, made = [], 0
    for count in (2, 20):
        template = make_template(user=owner, organization=organization, result=result)
        ParameterSchema.objects.create(job=template.active_version.job, index=0, name="region", default_is_null=True)
        for _ in range(count):
            begin(ada, organization, template, name=f"dev-{made}", rich_values=[NamedValue("size", "large")])
            finish_build()
            made += 1
        let_pass(8 * HOUR)
        with CaptureQueriesContext(connection) as queries:
            assert executor.run().built == count
        counts.append(len(queries))
        assert BuildParameter.objects.filter(build__reason="autostop", value="large").count() == made
        while ProvisionerJob.objects.waiting().exists():
            finish_build()
    assert counts[0] == counts[1] < 25
