"""The pages of a workspace: what they show and offer in each state, and to whom."""

from datetime import UTC, datetime, timedelta

import pytest

from coderproj.identity.actor import Actor
from provisioning.engine.base import BuildResult, LogLevel, LogLine, LogSource, Stage
from provisioning.log import writing
from provisioning.models import ProvisionerJob
from provisioning.pages.log import LINES_SHOWN
from provisioning.queue import jobs
from templates_app.models import AccessRole, Template, TemplateAccess
from templates_app.workspaces import states
from templates_app.workspaces.models import BuildState, Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds
from tests.factories import claim, make_user, make_version
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import HOME, IMPORTED, build, create, finish_build

pytestmark = pytest.mark.django_db
PAGE = "/@ada/dev"


def buttons(response) -> set[str]:
    """Return the actions that the head of the page offers."""
    head = response.content.decode().partition('id="workspace-head"')[2].partition("</header>")[0]
    return {name for name in ("start", "stop", "delete", "cancel", "update") if f'"{PAGE}/{name}"' in head}


def latest(workspace: Workspace) -> WorkspaceBuild:
    return WorkspaceBuild.objects.get(latest_of=workspace)


# ---------------------------------------------------------------------- states and actions
def test_buttons_are_those_of_the_status(ada, template):
    client = browser(ada)
    workspace = create(ada, template)
    assert buttons(client.get(PAGE)) == {"cancel"}
    lease = claim()
    assert "Starting" in text_of(client.get(PAGE))
    assert buttons(client.get(PAGE)) == {"cancel"}
    jobs.complete(lease, BuildResult(IMPORTED.start.resources))
    assert buttons(client.get(PAGE)) == {"stop", "update", "delete"}
    build(ada, workspace, "stop")
    finish_build(resources=(HOME,))
    assert buttons(client.get(PAGE)) == {"start", "update", "delete"}
    build(ada, workspace, "start")
    finish_build(error="no space left")
    assert buttons(client.get(PAGE)) == {"start", "update", "delete"}
    build(ada, workspace, "stop")
    builds.cancel(Actor.of(ada), latest(workspace))
    assert "Canceled" in text_of(client.get(PAGE))
    assert buttons(client.get(PAGE)) == {"start", "stop", "update", "delete"}
    build(ada, workspace, "delete")
    finish_build(resources=())
    response = client.get(PAGE)
    assert "This workspace was deleted" in text_of(response)
    assert buttons(response) == set()


def test_canceling_builds_is_offered_only_where_the_template_allows_it(ada, owner, template):
    Template.objects.update(allow_user_cancel_workspace_jobs=False)
    create(ada, template)
    assert buttons(browser(ada).get(PAGE)) == set()
    assert buttons(browser(owner).get(PAGE)) == {"cancel"}


def test_administrators_of_templates_see_the_workspace_but_cannot_change_it(organization, running):
    reader = make_user("tom", organizations=(organization,), site_roles=("template-admin",))
    client = browser(reader)
    response = client.get(PAGE)
    assert "Running" in text_of(response)
    assert buttons(response) == set()
    for action in ("start", "stop", "delete", "cancel", "update", "schedule"):
        assert client.get(f"{PAGE}/{action}").status_code == 403
        assert client.post(f"{PAGE}/{action}").status_code == 403


def test_workspaces_of_others_are_not_found(organization, running):
    client = browser(make_user("bob", organizations=(organization,)))
    for page in (PAGE, f"{PAGE}/builds/1", f"{PAGE}/stop", f"/workspaces/{running.pk}"):
        assert client.get(page).status_code == 404


# ---------------------------------------------------------------------- what the page shows
def test_page_shows_what_runs_and_what_it_costs(ada, running):
    text = text_of(browser(ada).get(PAGE))
    for part in ("What runs", "dev docker_container", "main, linux/amd64", "editor", "7 credits", "cpu 4", "region us"):
        assert part in text
    assert "(default)" in text


def test_page_of_a_failed_start_says_why_and_what_exists(ada, running):
    build(ada, running, "start")
    finish_build(error="apply for start failed: no space left")
    response = browser(ada).get(PAGE)
    text = text_of(response)
    assert "Start failed: apply for start failed: no space left" in text
    assert "made by build #1, later builds may have changed them" in text
    assert "Retry" in text


def test_a_failed_stop_is_retried_as_a_stop(ada, running):
    build(ada, running, "stop")
    finish_build(error="no")
    page = browser(ada).get(PAGE).content.decode()
    alert = page.partition('role="alert"')[2].partition("</div>\n</div>")[0]
    assert f'href="{PAGE}/stop"' in alert
    assert "Retry" in alert


def test_outdated_workspace_leads_to_the_update(ada, owner, running, template):
    assert "Outdated" not in text_of(browser(ada).get(PAGE))
    version = make_version(
        user=owner, organization=template.organization, template=template, name="v2", result=IMPORTED
    )
    Template.objects.update(active_version=version)
    text = text_of(browser(ada).get(PAGE))
    assert "Outdated" in text
    assert "v2 is the active version of Web machines" in text


def test_builds_are_listed_with_their_stages(ada, template):
    workspace = create(ada, template)
    lease = claim()
    start = datetime.now(UTC)
    stages = ((0.0, Stage.SETTING_UP), (0.5, Stage.PLANNING), (2.0, Stage.STARTING))
    lines = [LogLine(LogSource.DAEMON, LogLevel.INFO, stage, "", start.timestamp() + after) for after, stage in stages]
    writing.append(lease.job_id, lease.token, lines)
    jobs.complete(lease, BuildResult())
    ProvisionerJob.objects.filter(pk=lease.job_id).update(completed_at=start + timedelta(seconds=9))
    text = text_of(browser(ada).get(PAGE))
    assert "#1 Start" in text
    assert "Setting up 500 ms Planning infrastructure 1.5 s Starting workspace 7.0 s" in text
    ProvisionerJob.objects.filter(pk=lease.job_id).update(log_count=LINES_SHOWN + 1)
    assert "Setting up 500 ms" not in text_of(browser(ada).get(PAGE))
    assert latest(workspace).build_number == 1


def test_name_of_a_deleted_workspace_can_be_used_again(ada, stopped, template):
    build(ada, stopped, "delete")
    finish_build(resources=())
    client = browser(ada)
    assert "Deleted" in text_of(client.get(PAGE))
    create(ada, template)
    finish_build()
    assert "Deleted" not in text_of(client.get(PAGE))
    old = client.get(f"/workspaces/{stopped.pk}")
    assert "This workspace was deleted" in text_of(old)
    assert f"/workspaces/{stopped.pk}/builds/3" in old.content.decode()
    assert client.get(f"/workspaces/{stopped.pk}/builds/3").status_code == 200
    assert client.get(f"/workspaces/{stopped.pk}/builds/3/log.txt").status_code == 200


def test_addresses_by_id_lead_to_the_names(ada, running):
    client = browser(ada)
    assert client.get(f"/workspaces/{running.pk}")["Location"] == PAGE
    assert client.get(f"/workspaces/builds/{running.latest_build_id}")["Location"] == f"{PAGE}/builds/1"


def test_page_is_loaded_again_when_another_build_was_started(ada, running):
    client = browser(ada)
    headers = {"HX-Request": "true", "HX-Target": "workspace-pulse"}
    shown = str(running.latest_build_id)
    assert "HX-Refresh" not in client.get(PAGE, {"shown": shown}, headers=headers)
    build(ada, running, "stop")
    assert client.get(PAGE, {"shown": shown}, headers=headers)["HX-Refresh"] == "true"


def test_facts_of_a_build_are_polled_until_it_ends(ada, template):
    create(ada, template)
    client = browser(ada)
    headers = {"HX-Request": "true", "HX-Target": "job-facts"}
    for page in (PAGE, f"{PAGE}/builds/1"):
        waiting = client.get(page, {"shown": "pending"}, headers=headers)
        assert "every 3s" in waiting.content.decode()
        assert "HX-Trigger" not in waiting
    claim()
    assert client.get(PAGE, {"shown": "pending"}, headers=headers)["HX-Trigger"] == "job-started"


# ---------------------------------------------------------------------- actions
def test_stopping_says_what_is_destroyed_and_what_is_kept(ada, running):
    client = browser(ada)
    for page in (PAGE, f"{PAGE}/stop"):
        text = text_of(client.get(page))
        assert "Destroyed: dev (docker_container)." in text
        assert "Kept: home (docker_volume)." in text
    assert client.post(f"{PAGE}/stop")["Location"] == PAGE
    assert latest(running).transition == "stop"


def test_starting_again_uses_the_values_of_the_latest_build(ada, stopped):
    client = browser(ada)
    assert "Start dev?" in text_of(client.get(f"{PAGE}/start"))
    assert client.post(f"{PAGE}/start")["Location"] == PAGE
    assert dict(latest(stopped).parameters.values_list("name", "value")) == {"region": "us", "cpu": "4"}


def test_deleting_asks_for_the_name(ada, running):
    client = browser(ada)
    text = text_of(client.get(f"{PAGE}/delete"))
    assert "Destroyed, with all data in them: dev (docker_container), home (docker_volume)." in text
    assert "Type dev to confirm" in text
    for given in ({}, {"confirmation": "prod"}):
        refused = client.post(f"{PAGE}/delete", given)
        assert refused.status_code == 400
        assert "This is not the name of the workspace." in text_of(refused)
    assert latest(running).transition == "start"
    assert client.post(f"{PAGE}/delete", {"confirmation": " dev "}).status_code == 302
    assert latest(running).transition == "delete"


def test_resources_can_be_left_behind_by_those_who_may_handle_the_state(ada, owner, running, template):
    for page in (PAGE, f"{PAGE}/delete"):
        assert "Leave the resources behind" not in text_of(browser(ada).get(page))
        text = text_of(browser(owner).get(page))
        assert "Leave the resources behind" in text
        assert "dev (docker_container), home (docker_volume) stay and can go on to cost money." in text
    given = {"confirmation": "dev", "orphan": "on"}
    assert browser(ada).post(f"{PAGE}/delete", given).status_code == 403
    assert latest(running).transition == "start"
    TemplateAccess.objects.create(template=template, user=ada, role=AccessRole.ADMIN)
    assert "Leave the resources behind" in text_of(browser(ada).get(PAGE))
    assert browser(ada).post(f"{PAGE}/delete", given).status_code == 302
    assert (latest(running).transition, states.state_of(latest(running))) == ("delete", b"")
    assert BuildState.objects.filter(build=latest(running), size=0).exists()


def test_deletion_without_the_choice_destroys(owner, running):
    assert browser(owner).post(f"{PAGE}/delete", {"confirmation": "dev"}).status_code == 302
    assert latest(running).transition == "delete"
    assert not BuildState.objects.filter(build=latest(running)).exists()


@pytest.mark.parametrize("choice", [{"orphan": "on"}, {}])
def test_wrong_confirmation_of_a_deletion_keeps_what_was_given(owner, running, choice):
    response = browser(owner).post(f"{PAGE}/delete", {"confirmation": '"prod>', **choice})
    page = response.content.decode()
    assert response.status_code == 400
    assert 'value="&quot;prod&gt;"' in page
    assert ("checked" in page.partition('name="orphan"')[2].partition(">")[0]) == bool(choice)
    long = browser(owner).post(f"{PAGE}/delete", {"confirmation": "x" * 5000})
    assert f'value="{"x" * 200}"' in long.content.decode()


def test_resources_of_a_workspace_that_never_ran_can_be_left_behind(owner, template):
    workspace = create(owner, template)
    finish_build(error="half of it")
    assert "What the builds left behind stays" in text_of(browser(owner).get("/@owner/dev/delete"))
    browser(owner).post("/@owner/dev/delete", {"confirmation": "dev", "orphan": "on"})
    assert latest(workspace).transition == "delete"


def test_second_build_is_refused_with_a_reason(ada, running):
    build(ada, running, "stop")
    response = browser(ada).post(f"{PAGE}/start", follow=True)
    assert "A workspace build is already active." in text_of(response)
    assert latest(running).build_number == 2


def test_build_is_canceled_after_a_question(ada, template):
    workspace = create(ada, template)
    client = browser(ada)
    assert "will never start" in text_of(client.get(f"{PAGE}/cancel"))
    assert "The build is being canceled." in text_of(client.post(f"{PAGE}/cancel", follow=True))
    assert latest(workspace).job.status == "canceled"
    assert client.get(f"{PAGE}/cancel")["Location"] == PAGE
    assert "already" in text_of(client.post(f"{PAGE}/cancel", follow=True)).lower()


# ---------------------------------------------------------------------- builds
def test_page_of_a_build_shows_its_log_and_results(ada, stopped):
    text = text_of(browser(ada).get(f"{PAGE}/builds/1"))
    for part in ("#1 Start", "ada/dev", "Log", "docker_container", "cpu 4", "Open the workspace"):
        assert part in text
    assert browser(ada).get(f"{PAGE}/builds/9").status_code == 404
    assert browser(ada).get(f"{PAGE}/builds/99999999999999").status_code == 404


def test_page_of_a_failed_build_shows_its_error(ada, running):
    build(ada, running, "stop")
    finish_build(error="apply for stop failed")
    text = text_of(browser(ada).get(f"{PAGE}/builds/2"))
    assert "apply for stop failed" in text
    assert "Unknown: the build has not succeeded." in text


def test_jobs_name_the_build(ada, owner, running):
    job = ProvisionerJob.objects.get(workspace_build=running.latest_build_id)
    page = browser(owner).get(f"/jobs/{job.pk}")
    text = text_of(page)
    assert "Workspace build ada/dev #1" in text
    assert "Open the build" in text
    assert f'href="{PAGE}/builds/1"' in page.content.decode()
    assert "ada/dev #1" in text_of(browser(owner).get("/jobs"))
    assert "ada/dev #1" in text_of(browser(owner).get("/jobs?template=web"))


def test_last_build_is_retried_from_its_page(ada, running):
    client = browser(ada)
    assert "Retry" not in text_of(client.get(f"{PAGE}/builds/1"))
    build(ada, running, "stop")
    finish_build(error="no")
    page = client.get(f"{PAGE}/builds/2")
    assert "Retry" in text_of(page)
    assert f'href="{PAGE}/stop"' in page.content.decode()


def test_rail_of_a_build_has_only_its_stages(ada, owner, template):
    create(ada, template)
    job = ProvisionerJob.objects.get(workspace_build__isnull=False)
    for client, page in ((browser(ada), f"{PAGE}/builds/1"), (browser(owner), f"/jobs/{job.pk}")):
        text = text_of(client.get(page))
        assert "Starting workspace" in text
        assert "Stopping workspace" not in text


def test_admin_and_pages_lead_to_each_other(owner, running):
    client = browser(owner)
    admin = f"/admin/workspaces/workspace/{running.pk}/change/"
    assert admin in client.get(PAGE).content.decode()
    assert f'href="{PAGE}"' in client.get(admin).content.decode()


def test_audit_log_leads_to_workspaces_and_builds(owner, running):
    page = browser(owner).get("/audit").content.decode()
    assert f"/workspaces/{running.pk}" in page
    assert f"/workspaces/builds/{running.latest_build_id}" in page


def test_audit_log_leads_to_the_build_that_deleted_a_workspace(ada, owner, running):
    build(ada, running, "delete")
    deleted = finish_build(resources=())
    assert f"/workspaces/builds/{deleted.pk}" in browser(owner).get("/audit").content.decode()
