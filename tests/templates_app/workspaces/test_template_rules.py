"""Workspaces obey the rules of their template: deprecation, the required version, and times that developers may set."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from coderproj.identity.models import User
from templates_app.models import Template
from templates_app.workspaces import executor
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from tests.api import ApiClient, fields_of
from tests.factories import finish, make_template, make_version, make_workspace
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
WEEKLY = "CRON_TZ=UTC 0 9 * * 1-5"
HOUR_MS = 3_600_000


@pytest.fixture
def template(owner, organization):
    return make_template(user=owner, organization=organization, name="web", default_ttl_ms=HOUR_MS)


def set_rules(template: Template, **rules) -> None:
    Template.objects.filter(pk=template.pk).update(**rules)
    template.refresh_from_db()


def create(user: User, template: Template, **body):
    path = f"organizations/{template.organization_id}/members/me/workspaces"
    return ApiClient(user).post(path, {"name": "dev", "template_id": str(template.pk), **body})


# ---------------------------------------------------------------------- deprecation
def test_a_deprecated_template_gets_no_new_workspaces(owner, member, template):
    workspace = make_workspace(user=member, template=template, name="old")
    set_rules(template, deprecation_message="use web2")
    for body, field in (({}, "template_id"), ({"template_id": None, "version": True}, "template_version_id")):
        if body.pop("version", False):
            body["template_version_id"] = str(template.active_version_id)
        answer = create(member, template, **body)
        assert (answer.status_code, fields_of(answer)) == (400, [field])
        assert "use web2" in answer.body["validations"][0]["detail"]
    assert not Workspace.objects.filter(name="dev").exists()
    # Existing ones go on.
    builds = f"workspaces/{workspace.pk}/builds"
    assert ApiClient(member).post(builds, {"transition": "start"}).status_code == 201
    set_rules(template, deprecation_message="")
    assert create(member, template).status_code == 201


def test_pages_show_the_deprecation(member, template):
    set_rules(template, deprecation_message="use web2")
    client = browser(member)
    for path in ("/templates", "/templates/acme/web", "/templates/acme/web/workspace"):
        assert "use web2" in text_of(client.get(path)), path


# ---------------------------------------------------------------------- the active version
def test_starts_use_the_required_version(owner, member, template):
    workspace = make_workspace(user=member, template=template)
    before = workspace.latest_build.template_version_id
    newer = make_version(user=owner, organization=template.organization, template=template, name="newer")
    set_rules(template, active_version=newer, require_active_version=True)
    path = f"workspaces/{workspace.pk}/builds"
    answer = ApiClient(member).post(path, {"transition": "start", "template_version_id": str(before)})
    assert (answer.status_code, fields_of(answer)) == (400, ["template_version_id"])
    started = ApiClient(member).post(path, {"transition": "start"})
    assert (started.status_code, started.body["template_version_id"]) == (201, str(newer.pk))


def test_stops_and_administrators_may_use_other_versions(owner, member, template):
    workspace = make_workspace(user=member, template=template)
    before = workspace.latest_build.template_version_id
    newer = make_version(user=owner, organization=template.organization, template=template, name="newer")
    set_rules(template, active_version=newer, require_active_version=True)
    path = f"workspaces/{workspace.pk}/builds"
    stopped = ApiClient(member).post(path, {"transition": "stop"})
    assert (stopped.status_code, stopped.body["template_version_id"]) == (201, str(before))
    finish(WorkspaceBuild.objects.get(pk=stopped.body["id"]).job)
    started = ApiClient(owner).post(path, {"transition": "start", "template_version_id": str(before)})
    assert (started.status_code, started.body["template_version_id"]) == (201, str(before))


def test_new_workspaces_have_the_required_version(owner, member, template):
    older = make_version(user=owner, organization=template.organization, template=template, name="older")
    set_rules(template, require_active_version=True)
    body = {"template_id": None, "template_version_id": str(older.pk)}
    answer = create(member, template, **body)
    assert (answer.status_code, fields_of(answer)) == (400, ["template_version_id"])
    assert create(owner, template, **body).status_code == 201


# ---------------------------------------------------------------------- times
def test_schedules_that_the_template_forbids(owner, member, template):
    workspace = make_workspace(user=member, template=template, name="other")
    set_rules(template, allow_user_autostart=False)
    answer = create(member, template, autostart_schedule=WEEKLY)
    assert (answer.status_code, fields_of(answer)) == (400, ["schedule"])
    path = f"workspaces/{workspace.pk}/autostart"
    answer = ApiClient(member).put(path, {"schedule": WEEKLY})
    assert (answer.status_code, fields_of(answer)) == (400, ["schedule"])
    assert ApiClient(member).put(path, {"schedule": ""}).status_code == 204
    assert create(member, template).status_code == 201


def test_existing_schedules_start_nothing_while_they_are_forbidden(member, template):
    workspace = make_workspace(user=member, template=template)
    finish_stop(member, workspace)
    ApiClient(member).put(f"workspaces/{workspace.pk}/autostart", {"schedule": WEEKLY})
    past = Now() - timedelta(days=8)
    Workspace.objects.update(due_at=past, schedule_set_at=past, last_due_at=past)
    WorkspaceBuild.objects.update(created_at=past)
    set_rules(template, allow_user_autostart=False)
    assert executor.run().built == 0
    workspace.refresh_from_db()
    assert workspace.autostart_schedule == WEEKLY
    set_rules(template, allow_user_autostart=True)
    Workspace.objects.update(due_at=past, schedule_set_at=past, last_due_at=past)
    assert executor.run().built == 1


def finish_stop(user: User, workspace: Workspace) -> None:
    answer = ApiClient(user).post(f"workspaces/{workspace.pk}/builds", {"transition": "stop"})
    finish(WorkspaceBuild.objects.get(pk=answer.body["id"]).job)


def test_times_to_live_that_the_template_forbids(member, template):
    set_rules(template, allow_user_autostop=False)
    answer = create(member, template, ttl_ms=2 * HOUR_MS)
    assert (answer.status_code, fields_of(answer)) == (400, ["ttl_ms"])
    assert create(member, template, ttl_ms=HOUR_MS).status_code == 201
    workspace = Workspace.objects.get(name="dev")
    path = f"workspaces/{workspace.pk}/ttl"
    answer = ApiClient(member).put(path, {"ttl_ms": 2 * HOUR_MS})
    assert (answer.status_code, fields_of(answer)) == (400, ["ttl_ms"])
    assert ApiClient(member).put(path, {"ttl_ms": HOUR_MS}).status_code == 204


def test_the_template_decides_the_deadline(member, template):
    workspace = make_workspace(user=member, template=template)
    Workspace.objects.update(ttl_ms=8 * HOUR_MS)
    set_rules(template, allow_user_autostop=False)
    finish_stop(member, workspace)
    answer = ApiClient(member).post(f"workspaces/{workspace.pk}/builds", {"transition": "start"})
    build = WorkspaceBuild.objects.get(pk=answer.body["id"])
    finish(build.job)
    build.refresh_from_db()
    assert build.deadline - build.job.completed_at == timedelta(hours=1)


def test_an_administrator_of_the_template_is_no_exception_for_times(owner, template):
    set_rules(template, allow_user_autostart=False, allow_user_autostop=False)
    answer = create(owner, template, autostart_schedule=WEEKLY)
    assert (answer.status_code, fields_of(answer)) == (400, ["schedule"])
    answer = create(owner, template, ttl_ms=2 * HOUR_MS)
    assert (answer.status_code, fields_of(answer)) == (400, ["ttl_ms"])


def test_only_administrators_put_off_a_stop_that_the_template_decides(owner, member, template):
    workspace = make_workspace(user=member, template=template, ttl_ms=HOUR_MS)
    path = f"workspaces/{workspace.pk}/extend"
    later = {"deadline": (timezone.now() + timedelta(hours=3)).isoformat()}
    page = f"/@{member.username}/{workspace.name}"
    assert "Stop later, by hours" in text_of(browser(member).get(page))
    set_rules(template, allow_user_autostop=False)
    refused = ApiClient(member).put(path, later)
    assert refused.status_code == 409
    assert refused.body["message"] == "The template decides when its workspaces stop."
    text = text_of(browser(member).get(page))
    assert "1 h after a start, as the template decides" in text
    assert "Stop later, by hours" not in text
    assert ApiClient(owner).put(path, later).status_code == 200


def test_the_page_promises_no_start_that_is_forbidden(member, template):
    workspace = make_workspace(user=member, template=template, autostart_schedule=WEEKLY)
    page = f"/@{member.username}/{workspace.name}"
    assert "does not allow automatic starts" not in text_of(browser(member).get(page))
    set_rules(template, allow_user_autostart=False)
    assert "None: the template does not allow automatic starts" in text_of(browser(member).get(page))


def test_forms_keep_a_time_that_hours_cannot_show(member, template):
    """70 minutes are shown as 1.17 hours."""
    minutes = 70 * 60_000
    set_rules(template, allow_user_autostop=False, default_ttl_ms=minutes)
    client = browser(member)
    form = {"name": "dev", "mode": "never", "hours": "1.17"}
    assert 'value="1.17"' in client.get("/templates/acme/web/workspace").content.decode()
    assert client.post("/templates/acme/web/workspace", form).status_code == 302
    workspace = Workspace.objects.get(name="dev")
    assert workspace.ttl_ms == minutes
    finish(workspace.latest_build.job)
    saved = client.post(f"/@{member.username}/dev/schedule", {**form, "mode": "cron", "cron": WEEKLY})
    assert saved.status_code == 302
    workspace.refresh_from_db()
    assert (workspace.ttl_ms, workspace.autostart_schedule) == (minutes, WEEKLY)
