"""Pages of versions: imports and actions; new versions, retries, naming a template."""

import html
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from provisioning.engine.base import ParameterSchema
from provisioning.models import File, ParameterValue
from templates_app import starters
from templates_app.models import Template, TemplateVersion
from templates_app.pages.creating import _name_of
from templates_app.services import versions
from tests.factories import claim, finish, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.vocabulary import tar_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web")


def upload(content: bytes | None = None, name: str = "web.tar") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, tar_of({"main.tf": "# nothing"}) if content is None else content)


# ---------------------------------------------------------------------- actions by state
@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({"finished": False}, {"Cancel the import", "Download the files"}),
        ({}, {"Promote", "Download the files"}),
        ({"error": "no"}, {"Retry the import", "Download the files"}),
    ],
)
def test_offered_actions_depend_on_the_state(owner, organization, web, fields, offered):
    make_version(user=owner, organization=organization, template=web, name="next", **fields)
    text = text_of(browser(owner).get("/templates/acme/web/versions/next"))
    actions = {"Cancel the import", "Promote", "Retry the import", "Download the files"}
    assert {action for action in actions if action in text} == offered


def test_member_can_only_read(organization, owner, web):
    make_version(user=owner, organization=organization, template=web, name="next", finished=False)
    client = browser(make_user(organizations=(organization,)))
    answer = client.get("/templates/acme/web/versions/next")
    assert answer.status_code == 200
    assert "Cancel the import" not in text_of(answer)
    assert "Download the files" not in text_of(answer)
    for action in ("cancel", "retry"):
        assert client.get(f"/templates/acme/web/versions/next/{action}").status_code == 403
        assert client.post(f"/templates/acme/web/versions/next/{action}").status_code == 403


def test_a_version_with_a_template_has_one_address(owner, web):
    version = web.active_version
    answer = browser(owner).get(f"/versions/{version.pk}")
    assert answer["Location"] == f"/templates/acme/web/versions/{version.name}"


def test_an_import_is_canceled_after_a_question(owner, organization, web):
    version = make_version(user=owner, organization=organization, template=web, name="next", finished=False)
    client = browser(owner)
    question = text_of(client.get("/templates/acme/web/versions/next/cancel"))
    assert f"Developers still get {web.active_version.name}." in question
    client.post("/templates/acme/web/versions/next/cancel")
    version.job.refresh_from_db()
    assert version.job.status == "canceled"


def test_error_is_shown_with_a_link_to_the_log_line(owner, organization, web):
    make_version(
        user=owner, organization=organization, template=web, name="bad", error="Unsupported attribute\nmain.tf 3"
    )
    text = text_of(browser(owner).get("/templates/acme/web/versions/bad"))
    assert "Unsupported attribute main.tf 3" in text


def test_stubs_are_named(owner, web):
    TemplateVersion.objects.filter(pk=web.active_version_id).update(unverified_providers=["registry.test/a/b"])
    text = text_of(browser(owner).get(f"/templates/acme/web/versions/{web.active_version.name}"))
    assert "it supports dry runs, but cannot be applied" in text
    assert "registry.test/a/b" in text


# ---------------------------------------------------------------------- uploading
def test_an_upload_is_imported_and_then_named(owner):
    client = browser(owner)
    answer = client.post("/templates/new", {"file": upload(name="My web (2).tar"), "message": "First"})
    version = TemplateVersion.objects.get()
    assert answer["Location"] == f"/versions/{version.pk}?name=my-web-2"
    assert (version.message, version.job.status, version.template) == ("First", "pending", None)
    assert "as soon as the import has succeeded" in text_of(client.get(answer["Location"]))
    type(version.job).objects.filter(pk=version.job_id).update(provisioner="echo")
    version.job.refresh_from_db()
    finish(version.job)
    page = client.get(answer["Location"])
    assert 'value="my-web-2"' in page.content.decode()
    answer = client.post(f"/versions/{version.pk}/template", {"name": "my-web-2", "description": "For the web"})
    assert answer["Location"] == "/templates/acme/my-web-2"
    template = Template.objects.get()
    assert (template.active_version_id, template.description) == (version.pk, "For the web")
    assert client.post(f"/versions/{version.pk}/template", {"name": "again"}).status_code == 404


def test_a_failed_version_is_not_named(owner, organization):
    version = make_version(user=owner, organization=organization, error="the plan failed")
    answer = browser(owner).post(f"/versions/{version.pk}/template", {"name": "web"})
    assert answer.status_code == 400
    assert f"The import of version {version.name} has the state failed." in text_of(answer)
    assert not Template.objects.exists()


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "Choose an archive or a starter."),
        ({"file": upload(b"no archive at all" * 100)}, "archive"),
        ({"starter": "nothing-like-it"}, "not found"),
        ({"starter": "hello", "tags": "gpu"}, "does not have the form key=value"),
    ],
)
def test_invalid_uploads_are_reported_in_the_form(owner, given, text):
    answer = browser(owner).post("/templates/new", given)
    assert answer.status_code >= 400
    assert text in text_of(answer)
    assert not TemplateVersion.objects.exists()


def test_script_gets_json(owner):
    client = browser(owner)
    headers = {"accept": "application/json"}
    refused = client.post("/templates/new", {}, headers=headers).json()
    assert refused == {"errors": ["Choose an archive or a starter."]}
    accepted = client.post("/templates/new", {"file": upload()}, headers=headers).json()
    assert accepted["url"].startswith("/versions/")


def test_a_starter_is_imported_with_its_tags_and_icon(owner):
    client = browser(owner)
    assert "Start from" in text_of(client.get("/templates/new?starter=docker"))
    answer = client.post("/templates/new", {"starter": "docker", "tags": "gpu=a100 region=eu"})
    version = TemplateVersion.objects.get()
    assert version.job.tags == {"gpu": "a100", "region": "eu", "scope": "organization"}
    assert "name=docker" in answer["Location"]
    assert "icon=" in answer["Location"]


def test_uploads_have_a_limit_of_size_and_rate(owner, settings):
    client = browser(owner)
    settings.UPLOAD_MAX_BYTES = 1024
    too_large = client.post("/templates/new", {"file": upload(bytes(100_000))})
    assert too_large.status_code == 413
    settings.UPLOAD_MAX_BYTES, settings.RATELIMIT_UPLOADS = 1024 * 1024, 1
    assert client.post("/templates/new", {"file": upload()}).status_code == 302
    assert client.post("/templates/new", {"file": upload()}).status_code == 429


def test_large_bodies_require_a_session(settings):
    make_user()
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1024
    client = Client(enforce_csrf_checks=True)
    client.get("/login")  # sets the CSRF cookie; without it the body is not read
    answer = client.post("/templates/new", {"file": upload(bytes(200_000))})
    assert answer.status_code == 413
    assert not File.objects.exists()


def test_name_in_use_is_reported_at_the_field(owner, organization, web):
    version = make_version(user=owner, organization=organization, name="next")
    answer = browser(owner).post(f"/versions/{version.pk}/template", {"name": "WEB"})
    assert answer.status_code == 400
    assert "already in use" in text_of(answer)


def test_new_version_does_not_change_the_active_one(owner, web):
    client = browser(owner)
    assert f"developers get {web.active_version.name} until" in text_of(client.get("/templates/acme/web/versions/new"))
    answer = client.post("/templates/acme/web/versions/new", {"file": upload()})
    version = TemplateVersion.objects.exclude(pk=web.active_version_id).get()
    assert answer["Location"] == f"/templates/acme/web/versions/{version.name}"
    assert version.template_id == web.pk
    web.refresh_from_db()
    assert web.active_version_id != version.pk


@pytest.mark.parametrize(
    ("file", "name"),
    [("web.tar", "web"), ("My Web!.tar.gz", "my-web"), ("...", ""), ("ä.zip", ""), ("x" * 99, "x" * 32)],
)
def test_a_name_is_suggested(file, name):
    assert _name_of(upload(b"", name=file)) == name


# ---------------------------------------------------------------------- retrying
def test_retry_uses_the_same_files_and_new_values(owner, organization, web):
    schemas = (ParameterSchema(name="region", description="Where it runs"), ParameterSchema("token", sensitive=True))
    old = make_version(
        user=owner,
        organization=organization,
        template=web,
        name="bad",
        schemas=schemas,
        error="missing parameter: region",
    )
    client = browser(owner)
    answer = client.get("/templates/acme/web/versions/bad/retry")
    page = text_of(answer)
    assert "Last error: missing parameter: region" in page
    assert "Where it runs" in page
    assert answer.content.decode().count('type="password"') == 1
    given = {"value-region": "eu", "value-token": "s3cr3t", "value-other": "x"}
    answer = client.post("/templates/acme/web/versions/bad/retry", given)
    new = TemplateVersion.objects.exclude(pk__in=[old.pk, web.active_version_id]).get()
    assert answer["Location"] == f"/templates/acme/web/versions/{new.name}"
    assert (new.job.file_id, new.job.tags, new.template_id) == (old.job.file_id, old.job.tags, web.pk)
    values = ParameterValue.objects.filter(scope_id=new.job_id)
    assert [(value.name, value.source_value) for value in values] == [("region", "eu"), ("token", "s3cr3t")]


def test_rejected_retry_keeps_the_input(owner, organization, web, monkeypatch):
    schemas = (ParameterSchema(name="region"), ParameterSchema(name="token"))
    make_version(user=owner, organization=organization, template=web, name="bad", schemas=schemas, error="no")
    monkeypatch.setattr(versions, "random_name", lambda: "bad")  # every generated name is in use
    given = {"value-region": "eu", "value-token": "s3cr3t"}
    answer = browser(owner).post("/templates/acme/web/versions/bad/retry", given)
    assert answer.status_code == 409
    page = answer.content.decode()
    assert 'role="alert"' in page
    assert 'name="value-region" value="eu"' in page
    assert 'name="value-token" value="s3cr3t"' in page
    assert answer["Cache-Control"] == "no-store"
    assert TemplateVersion.objects.filter(template=web).count() == 2


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("retry", {}),
        ("retry", {"finished": False}),
        ("cancel", {}),
        ("cancel", {"error": "no"}),
    ],
)
def test_actions_excluded_by_the_state_answer_404(owner, organization, web, action, fields):
    make_version(user=owner, organization=organization, template=web, name="next", **fields)
    client = browser(owner)
    address = f"/templates/acme/web/versions/next/{action}"
    assert client.get(address).status_code == 404
    assert client.post(address).status_code == {"retry": 404, "cancel": 400}[action]
    assert TemplateVersion.objects.filter(template=web).count() == 2


def test_an_import_that_is_being_canceled_is_not_canceled_again(owner, organization, web):
    version = make_version(user=owner, organization=organization, template=web, name="next", finished=False)
    claim(tags=version.job.tags)
    client = browser(owner)
    client.post("/templates/acme/web/versions/next/cancel")
    assert client.get("/templates/acme/web/versions/next/cancel").status_code == 404


def test_starter_names_survive_a_failed_import(owner):
    client = browser(owner)
    address = client.post("/templates/new", {"starter": "docker"})["Location"]
    version = TemplateVersion.objects.get()
    finish(version.job, error="no daemon could")
    page = client.get(address).content.decode()
    retry = html.unescape(re.search(r'href="([^"]+/retry[^"]*)"', page)[1])
    assert retry.partition("?")[2] == address.partition("?")[2] != ""
    again = client.post(retry)["Location"]
    assert again.partition("?")[2] == address.partition("?")[2]
    new = TemplateVersion.objects.exclude(pk=version.pk).get()
    finish(new.job)
    naming = client.get(again).content.decode()
    assert 'name="name" value="docker"' in naming
    assert f'name="icon" value="{starters.find("docker").icon}"' in naming


@pytest.mark.parametrize(
    ("message", "shown"), [("", "No message."), ("Done!", "Done!"), ("One.", "One."), ("Two", "Two.")]
)
def test_a_message_ends_like_a_sentence(owner, organization, web, message, shown):
    make_version(user=owner, organization=organization, template=web, name="next")
    TemplateVersion.objects.filter(name="next").update(message=message)
    assert f" {shown} Pushed " in text_of(browser(owner).get("/templates/acme/web/versions/next"))


# ---------------------------------------------------------------------- starters
def test_starters_are_filtered_by_tag(owner):
    client = browser(owner)
    everything = text_of(client.get("/starters"))
    assert "Docker container" in everything
    assert "Kubernetes pod" in everything
    some = text_of(client.get("/starters?tag=kubernetes"))
    assert "Docker container" not in some
    assert "No starter has this tag." in text_of(client.get("/starters?tag=nothing"))
