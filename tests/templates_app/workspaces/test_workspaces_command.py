"""``manage.py workspaces``, as used in a terminal."""

import json
import threading

import pytest
from django.core.management import CommandError
from django.db import connection

from provisioning.engine.base import BuildResult, ImportResult, PlanResult, Resource, RichParameter
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs
from templates_app.workspaces import states
from templates_app.workspaces.job_kinds import BUILD_TYPE
from templates_app.workspaces.models import BuildState, Workspace, WorkspaceBuild
from tests.commands import run, run_json
from tests.factories import claim, make_template, make_version

pytestmark = pytest.mark.django_db(transaction=True)

SIZE = RichParameter("size", default_value="1", mutable=True)
RESULT = ImportResult(start=PlanResult(rich_parameters=(SIZE,)), stop=PlanResult())


@pytest.fixture
def template(owner, organization):
    return make_template(user=owner, organization=organization, name="web", result=RESULT)


@pytest.fixture
def daemon(template):
    """Complete each waiting build, as a daemon would, or fail it with ``error``. The serial of a state is the number of
    its build. Imports are left to the test, which claims them itself."""

    class Daemon:
        error = ""

    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.wait(0.02):
                for _ in ProvisionerJob.objects.waiting().filter(type=BUILD_TYPE):
                    lease = claim()
                    number = WorkspaceBuild.objects.get(job_id=lease.job_id).build_number
                    jobs.store_state(lease, b'{"serial": %d}' % number)
                    if Daemon.error:
                        jobs.fail(lease, Daemon.error)
                    else:
                        jobs.complete(lease, BuildResult((Resource("dev", "vm", daily_cost=2),)))
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield Daemon
    stop.set()
    thread.join()


@pytest.fixture
def workspace(daemon, ada):
    run("workspaces", "create", "dev", "--template", "web", "--owner", "ada")
    return Workspace.objects.get()


def test_life_of_a_workspace(daemon, owner, ada, organization, template):
    text = run("workspaces", "create", "dev", "--template", "web", "--owner", "ada", "--ttl", "8h")
    assert "Build 1 of ada/dev succeeded: running." in text
    assert Workspace.objects.get().ttl_ms == 8 * 3_600_000
    assert "Build 2 of ada/dev succeeded: stopped." in run("workspaces", "stop", "ada/dev")
    started = run("workspaces", "start", "--as", "ada", "DEV", "--parameter", "size=3")
    assert "Build 3 of ada/dev succeeded: running." in started
    template.active_version = make_version(
        user=owner, organization=organization, template=template, name="v2", result=RESULT
    )
    template.save()
    assert "(outdated)" in run("workspaces", "list")
    updated = run_json("workspaces", "update", "ada/dev")
    assert (updated["outdated"], updated["latest_build"]["template_version_name"]) == (False, "v2")
    shown = run("workspaces", "show", "ada/dev")
    for part in ("vm.dev", "size", "3", "running", "stop", "v2"):
        assert part in shown
    assert "Build 5 of ada/dev succeeded: deleted." in run("workspaces", "delete", "ada/dev")
    assert "There are no workspaces" in run("workspaces", "list")
    with pytest.raises(CommandError, match="ada has no workspace 'dev'"):
        run("workspaces", "show", "ada/dev")


def test_list_has_filters_and_shows_what_is_visible(workspace, owner, organization):
    make_template(user=owner, organization=organization, name="other")
    for arguments, count in (
        ((), 1),
        (("--search", "owner:ada status:running"), 1),
        (("--search", "owner:me"), 0),
        (("--search", "owner:me", "--as", "ada"), 1),
        (("--search", "template:other"), 0),
        (("--as", "ada"), 1),
    ):
        assert len(run_json("workspaces", "list", *arguments)) == count


def test_bad_search_is_reported(template):
    with pytest.raises(CommandError, match="status"):
        run("workspaces", "list", "--search", "status:tired")


def test_failed_build_ends_the_command_with_its_own_status(daemon, workspace):
    daemon.error = "apply for stop failed: no"
    with pytest.raises(CommandError, match="The build failed: apply for stop failed: no") as failed:
        run("workspaces", "stop", "ada/dev")
    assert failed.value.returncode == 3


def test_command_does_not_wait_if_told_so(template, ada):
    assert "Queued build 1 of ada/dev: start." in run(
        "workspaces", "create", "dev", "--template", "web", "--owner", "ada", "--no-wait"
    )
    with pytest.raises(CommandError, match="already active"):
        run("workspaces", "stop", "ada/dev")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "dev", "--template", "none"), "There is no template 'none' in acme"),
        (("create", "not a name", "--template", "web"), "name"),
        (("create", "dev", "--template", "web", "--parameter", "color=red"), "no parameter 'color'"),
        (("create", "dev", "--template", "web", "--ttl", "soon"), "'soon' is not a duration"),
        (("create", "dev", "--template", "web", "--ttl", "30d"), "at most 7 days"),
        (("create", "dev", "--template", "web", "--schedule", "often"), "schedule"),
        (("create", "dev", "--template", "web", "--version", "v9"), "web has no version 'v9'"),
        (("create", "dev", "--template", "web", "--owner", "nobody"), "existing username"),
        (("start", "dev"), "owner has no workspace 'dev'"),
        (("start", "nobody/dev"), "existing username"),
        (("start", "a/b/dev"), "existing username"),
    ],
)
def test_bad_arguments_are_named(template, arguments, message):
    with pytest.raises(CommandError, match=message):
        run("workspaces", *arguments)
    assert not Workspace.objects.exists()


def test_schedule_is_shown_and_changed(workspace):
    assert "Starts by itself: never" in run("workspaces", "schedule", "ada/dev")
    text = run("workspaces", "schedule", "ada/dev", "--start", "30 9 * * 1-5", "--ttl", "2h")
    assert "Starts by itself: 30 9 * * 1-5" in text
    assert "Stops after: 2:00:00" in text
    assert run_json("workspaces", "schedule", "ada/dev", "--ttl", "0", "--start", "").get("ttl_ms") is None
    with pytest.raises(CommandError, match="has no deadline"):
        run("workspaces", "schedule", "ada/dev", "--extend", "2h")
    run("workspaces", "schedule", "ada/dev", "--ttl", "1h")
    run("workspaces", "start", "ada/dev")
    assert "Stops at: no time" not in run("workspaces", "schedule", "ada/dev", "--extend", "3h")
    with pytest.raises(CommandError, match="at least 30 minutes"):
        run("workspaces", "schedule", "ada/dev", "--extend", "5m")


def test_state_is_read_and_replaced(workspace, tmp_path):
    assert json.loads(run("workspaces", "state", "ada/dev")) == {"serial": 1}
    file = tmp_path / "state"
    assert run_json("workspaces", "state", "ada/dev", "--output", file) == {"build_number": 1, "bytes": 13}
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b'{"serial": 1}', 0o600)
    with pytest.raises(CommandError, match="File exists"):
        run("workspaces", "state", "ada/dev", "--output", file)
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        run("workspaces", "state", "ada/dev", "--push", tmp_path / "missing")
    file.write_text('{"serial": 40}')
    run("workspaces", "state", "ada/dev", "--push", file)
    assert WorkspaceBuild.objects.count() == 2
    assert json.loads(run("workspaces", "state", "ada/dev")) == {"serial": 2}
    with pytest.raises(CommandError, match="update the template"):
        run("workspaces", "state", "dev", "--as", "ada")


def test_rotation_encrypts_all_states_with_the_first_secret(workspace, settings):
    settings.STATE_KEYS = ["new", *settings.STATE_KEYS]
    assert run_json("workspaces", "rotate-keys") == {"states": 1}
    settings.STATE_KEYS = ["new"]
    assert states.decrypt(BuildState.objects.get().encrypted) == b'{"serial": 1}'
