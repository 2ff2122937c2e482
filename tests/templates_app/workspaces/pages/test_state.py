"""The Terraform state on the pages of builds: who sees it, its file, and pushing another one."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from provisioning.engine.base import MAX_STATE, BuildResult
from provisioning.models import ProvisionerJob
from provisioning.queue import jobs
from templates_app.models import AccessRole, TemplateAccess
from templates_app.workspaces import states
from templates_app.workspaces.models import WorkspaceBuild
from tests.factories import claim, make_user
from tests.pages import browser, text_of
from tests.templates_app.workspaces.pages.conftest import build, create, finish_build

pytestmark = pytest.mark.django_db
PAGE = "/@ada/dev"
STATE = b'{"lineage": "own", "serial": 4}'


@pytest.fixture
def stored(ada, template):
    """A running workspace with a state."""
    workspace = create(ada, template)
    lease = claim()
    jobs.store_state(lease, STATE)
    jobs.complete(lease, BuildResult())
    workspace.refresh_from_db()
    return workspace


@pytest.fixture
def of_terraform(stored, template):
    ProvisionerJob.objects.filter(pk=template.active_version.job_id).update(provisioner="terraform")


def push(user, content: bytes | None, transition: str = "start", **how):
    """Submit the form with a file; None for no file."""
    given = {"transition": transition}
    if content is not None:
        given["state"] = SimpleUploadedFile("dev.tfstate", content)
    return browser(user).post(f"{PAGE}/state", given, **how)


def latest(workspace) -> WorkspaceBuild:
    return WorkspaceBuild.objects.get(latest_of=workspace)


# ---------------------------------------------------------------------- on the page of a build
def test_state_is_shown_to_those_who_may_handle_it(ada, owner, organization, stored, template):
    page = f"{PAGE}/builds/1"
    assert "Terraform state" not in text_of(browser(ada).get(page))
    assert browser(ada).get(f"{page}/state").status_code == 403
    text = text_of(browser(owner).get(page))
    assert "Terraform state Push a state Size 31 bytes Stored" in text
    assert "File Download (contains secrets)" in text
    file = browser(owner).get(f"{page}/state")
    assert (file.content, file["Content-Disposition"]) == (STATE, 'attachment; filename="dev-1.tfstate"')
    assert file["Cache-Control"] == "no-store"
    reader = make_user("tom", organizations=(organization,), site_roles=("template-admin",))
    assert browser(reader).get(f"{page}/state").content == STATE
    assert "Push a state" not in text_of(browser(reader).get(page))  # may not build
    TemplateAccess.objects.create(template=template, user=ada, role=AccessRole.ADMIN)
    assert browser(ada).get(f"{page}/state").content == STATE


def test_build_without_a_state_of_its_own_has_that_before_it(ada, owner, stored):
    build(ada, stored, "stop")
    finish_build(resources=())
    text = text_of(browser(owner).get(f"{PAGE}/builds/2"))
    assert ", by build #1" in text
    assert browser(owner).get(f"{PAGE}/builds/2/state").content == STATE
    assert "Push a state" not in text_of(browser(owner).get(f"{PAGE}/builds/1"))


def test_missing_and_empty_states_have_no_file(ada, owner, template):
    workspace = create(ada, template)
    finish_build()
    assert "no build has stored one yet" in text_of(browser(owner).get(f"{PAGE}/builds/1"))
    assert browser(owner).get(f"{PAGE}/builds/1/state").status_code == 404
    browser(owner).post(f"{PAGE}/delete", {"confirmation": "dev", "orphan": "on"})
    finish_build(resources=())
    page = f"/workspaces/{workspace.pk}/builds/2"
    response = browser(owner).get(page)
    assert "Empty: the resources were left behind" in text_of(response)
    assert "Push a state" not in text_of(response)
    assert browser(owner).get(f"{page}/state").status_code == 404


def test_states_of_deleted_workspaces_can_be_downloaded(ada, owner, stored):
    build(ada, stored, "delete")
    finish_build(resources=())
    page = f"/workspaces/{stored.pk}/builds/1"
    assert f'href="{page}/state"' in browser(owner).get(page).content.decode()
    assert browser(owner).get(f"{page}/state").content == STATE


# ---------------------------------------------------------------------- another state
def test_pushed_state_is_that_of_a_new_build(owner, stored, of_terraform):
    page = browser(owner).get(f"{PAGE}/state")
    text = text_of(page)
    for part in ("It replaces the present state of 31 bytes, stored by build #1", "are destroyed", "left behind"):
        assert part in text
    assert f'href="{PAGE}/builds/1/state"' in page.content.decode()
    new = b'{"lineage": "own", "serial": 9}'
    response = push(owner, new, follow=True)
    assert response.redirect_chain == [(f"{PAGE}/builds/2", 302)]
    assert "Build #2 has the uploaded state." in text_of(response)
    assert (latest(stored).transition, states.state_of(latest(stored))) == ("start", new)


@pytest.mark.parametrize(("before", "chosen"), [("start", "start"), ("stop", "stop"), ("delete", "stop")])
def test_form_suggests_what_the_latest_build_did(ada, owner, stored, before, chosen):
    if before != "start":
        build(ada, stored, before)
        finish_build(error="no")
    page = browser(owner).get(f"{PAGE}/state").content.decode()
    assert f'value="{chosen}"' in page.partition("checked")[0].rpartition("<input")[2]
    assert push(owner, STATE, chosen).status_code == 302
    assert latest(stored).transition == chosen


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "Choose a file."),
        (b"", "The file is empty."),
        (b"no JSON", "This is not a Terraform state"),
        (b'["lineage"]', "This is not a Terraform state"),
        (b'{"serial": 3}', "This is not a Terraform state"),
        (b'{"lineage": "other"}', "This is the state of something else: its lineage is not own."),
        (b" " * (MAX_STATE + 1), "A state has at most 33,554,432 bytes"),
    ],
)
def test_wrong_files_are_named_at_the_field(owner, stored, of_terraform, content, says):
    response = push(owner, content, "stop")
    page = response.content.decode()
    assert response.status_code == 400
    assert says in page.partition('id="id_state_error"')[2].partition("</p>")[0]
    assert 'value="stop"' in page.partition("checked")[0].rpartition("<input")[2]
    assert "The file is not kept: choose it again." in text_of(response)
    assert latest(stored).build_number == 1


@pytest.mark.parametrize("transition", ["", "delete", "fly"])
def test_only_starts_and_stops_have_a_pushed_state(owner, stored, transition):
    response = push(owner, STATE, transition)
    assert response.status_code == 400
    assert 'id="id_transition_error"' in response.content.decode()
    assert latest(stored).build_number == 1


def test_active_build_keeps_others_waiting(ada, owner, stored):
    build(ada, stored, "stop")
    page = browser(owner).get(f"{PAGE}/state")
    assert "A build of the workspace is active." in text_of(page)
    assert "Push and build" not in text_of(page)
    response = push(owner, STATE)
    assert response.status_code == 409
    assert "A workspace build is already active." in text_of(response)


def test_pushing_needs_both_permissions(ada, organization, stored):
    reader = make_user("tom", organizations=(organization,), site_roles=("template-admin",))
    for user in (ada, reader):
        assert browser(user).get(f"{PAGE}/state").status_code == 403
        assert push(user, STATE).status_code == 403
    assert latest(stored).build_number == 1


def test_uploads_of_states_are_limited(owner, stored, settings):
    settings.RATELIMIT_UPLOADS = 1
    assert push(owner, STATE).status_code == 302
    finish_build()
    response = push(owner, STATE)
    assert response.status_code == 429
    assert "Too many uploads: wait a minute." in text_of(response)
