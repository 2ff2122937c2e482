"""Reports of traffic: rows, last use, and the automatic stop."""

from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.models import F

from coderproj.database.clock import database_time
from templates_app.agents.models import AgentStatistic
from templates_app.agents.services import statistics
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.api import ApiClient, fields_of
from tests.templates_app.agents.callers import AgentClient
from tests.templates_app.workspaces.lives import build, finish_build

pytestmark = pytest.mark.django_db

TTL = timedelta(hours=8)


def let_pass(duration: timedelta) -> None:
    """Move the stored reports into the past."""
    AgentStatistic.objects.update(created_at=F("created_at") - duration)


def left_until_stop() -> timedelta:
    """Return the time until the automatic stop. The executor must look at the workspace at the same moment."""
    workspace = Workspace.objects.select_related("latest_build").get()
    deadline = WorkspaceBuild.objects.filter(deadline__isnull=False).latest("build_number").deadline
    assert workspace.due_at == deadline
    return deadline - database_time()


def use_up(part: float) -> None:
    """Let this part of the time to live pass since the deadline was set."""
    deadline = database_time() + TTL - TTL * part
    WorkspaceBuild.objects.update(deadline=deadline)
    Workspace.objects.update(due_at=deadline)


def close(one: timedelta, other: timedelta) -> bool:
    return abs(one - other) < timedelta(seconds=30)


# ---------------------------------------------------------------------- rows
def test_row(program, agent, workspace, ada, template):
    """AGT-14, §1.10."""
    answer = program.report(conns_by_proto={"TCP": 1}, num_comms=1, rx_packets=12, tx_packets=9)
    assert (answer.status_code, answer.body) == (200, {"report_interval": 600_000_000_000})
    row = AgentStatistic.objects.get()
    assert (row.agent, row.workspace, row.user, row.template) == (agent, workspace, ada, template)
    assert (row.connections_by_protocol, row.connections) == ({"TCP": 1}, 1)
    assert (row.rx_packets, row.rx_bytes, row.tx_packets, row.tx_bytes) == (12, 1, 9, 2)
    used = Workspace.objects.get().last_used_at
    assert close(database_time() - used, timedelta())
    assert ApiClient(ada).get(f"workspaces/{workspace.pk}").body["last_used_at"].startswith(f"{used:%Y-%m-%dT%H:%M}")


def test_interval_is_a_setting(program, agent, settings):
    settings.AGENT_STATS_SECONDS = 45
    assert program.report().body == {"report_interval": 45_000_000_000}


def test_reports_without_bytes(program, agent):
    """AGT-31."""
    use_up(0.5)
    answer = program.report(rx_bytes=0, tx_bytes=0, rx_packets=5, num_comms=3)
    assert answer.status_code == 200
    assert not AgentStatistic.objects.exists()
    assert Workspace.objects.get().last_used_at is None
    assert close(left_until_stop(), TTL / 2)


def test_one_row_per_interval(program, agent):
    """AGT-30, W47: 20 reports at once are accepted and give one row; so does another one after the interval."""
    assert {program.report().status_code for _ in range(20)} == {200}
    assert AgentStatistic.objects.count() == 1
    let_pass(timedelta(seconds=29))
    program.report()
    assert AgentStatistic.objects.count() == 1
    let_pass(timedelta(seconds=2))
    program.report()
    assert AgentStatistic.objects.count() == 2


@pytest.mark.parametrize(
    "numbers",
    [
        {"rx_bytes": -1},
        {"tx_bytes": 2**63},
        {"rx_packets": 10**30},
        {"num_comms": "1"},
        {"tx_packets": 1.5},
        {"rx_bytes": True},
        {"conns_by_proto": {"TCP": -1}},
        {"conns_by_proto": {"TCP": "x"}},
        {"conns_by_proto": []},
        {"conns_by_proto": {"x" * 65: 1}},
        {"conns_by_proto": {"a\0b": 1}},
        {"conns_by_proto": {str(number): 1 for number in range(65)}},
    ],
    ids=lambda numbers: str(numbers)[:40],
)
def test_malformed_reports(program, agent, workspace, ada, numbers):
    """AGT-30: 400 with the field; nothing is stored, and lists go on."""
    answer = program.report(**numbers)
    (field,) = numbers
    assert answer.status_code == 400
    assert fields_of(answer)[0].startswith(field)
    assert not AgentStatistic.objects.exists()
    assert ApiClient(ada).get("workspaces").body["count"] == 1


def test_largest_numbers(program, agent):
    largest = 2**63 - 1
    assert program.report(rx_bytes=largest, tx_bytes=largest, conns_by_proto={"TCP": largest}).status_code == 200
    row = AgentStatistic.objects.get()
    assert (row.rx_bytes, row.connections_by_protocol) == (largest, {"TCP": largest})


def test_reports_of_outdated_agents_do_not_count(program, agent, ada, workspace):
    """W48."""
    build(ada, workspace, "stop")
    finish_build()
    assert program.report().status_code == 401
    assert not AgentStatistic.objects.exists()


def test_old_rows_are_deleted(program, agent, monkeypatch):
    """§6, retention: rows of 30 days are kept."""
    monkeypatch.setattr(statistics, "BATCH", 2)
    for days in (29, 31, 31, 31, 40):
        program.report()
        AgentStatistic.objects.filter(created_at__gt=database_time() - timedelta(days=1)).update(
            created_at=database_time() - timedelta(days=days)
        )
    assert statistics.delete_old(lambda: False) == 4
    assert AgentStatistic.objects.count() == 1
    assert statistics.delete_old(lambda: False) == 0


def test_periodic_task(program, agent):
    from templates_app.agents.tasks import PERIODIC_TASKS

    (task,) = (task for task in PERIODIC_TASKS if task.name == "agent_statistics")
    program.report()
    for days, has_work in ((29, False), (31, True)):
        AgentStatistic.objects.update(created_at=database_time() - timedelta(days=days))
        with connection.cursor() as cursor:
            cursor.execute(task.has_work)
            assert cursor.fetchone() == (has_work,)


@pytest.mark.django_db(transaction=True)
def test_two_reports_at_once(agent, token):
    """The row of the workspace orders them, so that one of them is stored."""
    from concurrent.futures import ThreadPoolExecutor

    def report(_):
        try:
            return AgentClient(token).report().status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(report, range(8))) == {200}
    assert AgentStatistic.objects.count() == 1


# ---------------------------------------------------------------------- activity
@pytest.mark.parametrize(("used", "is_moved"), [(0.049, False), (0.051, True), (0.9, True), (-0.5, False)])
def test_deadline_moves_after_a_twentieth(program, agent, used, is_moved):
    """STA-06: 4.9 % and 5.1 % used; a deadline that was extended beyond is left alone."""
    use_up(used)
    program.report()
    assert close(left_until_stop(), TTL if is_moved else TTL * (1 - used))


def test_time_to_live_of_today_counts(program, agent):
    """STA-06, §4.4: not that of the build; none moves nothing."""
    Workspace.objects.update(ttl_ms=None)
    use_up(0.5)
    program.report()
    assert close(left_until_stop(), TTL / 2)
    Workspace.objects.update(ttl_ms=20 * 3_600_000)
    let_pass(timedelta(minutes=1))
    program.report()
    assert close(left_until_stop(), timedelta(hours=20))


def test_the_template_can_decide_the_time_to_live(program, agent, template):
    template.allow_user_autostop, template.default_ttl_ms = False, 3_600_000
    template.save()
    use_up(0.9)
    program.report()
    assert close(left_until_stop(), timedelta(hours=1))


def test_without_a_deadline_nothing_moves(program, agent):
    WorkspaceBuild.objects.update(deadline=None)
    Workspace.objects.update(due_at=None)
    program.report()
    assert AgentStatistic.objects.count() == 1
    assert WorkspaceBuild.objects.get().deadline is None
    assert Workspace.objects.get().due_at is None


def test_while_a_stop_waits_nothing_moves(program, agent, ada, workspace):
    """STA-06."""
    WorkspaceBuild.objects.update(deadline=database_time() + TTL / 2)
    build(ada, workspace, "stop")
    program.report()
    assert close(WorkspaceBuild.objects.get(build_number=1).deadline - database_time(), TTL / 2)
    assert Workspace.objects.get().due_at is None
    assert Workspace.objects.get().last_used_at is not None


def test_after_a_canceled_stop_the_deadline_moves(program, agent, ada, workspace):
    from coderproj.identity.actor import Actor
    from templates_app.workspaces.services import builds

    stop = build(ada, workspace, "stop")
    builds.cancel(Actor.of(ada), WorkspaceBuild.objects.get(pk=stop.pk))
    use_up(0.5)
    WorkspaceBuild.objects.filter(build_number=2).update(deadline=None)
    program.report()
    assert close(left_until_stop(), TTL)


def test_reads_do_not_move_the_deadline(program, agent, ada, workspace):
    """STA-02."""
    use_up(0.5)
    ApiClient(ada).get(f"workspaces/{workspace.pk}")
    program.get("workspaceagents/me/metadata")
    program.post("workspaceagents/me/report-lifecycle", {"state": "ready"})
    assert close(left_until_stop(), TTL / 2)
