"""Rules of templates, and archiving, as the command line and the Terraform provider of 2025 send them."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from coderproj.base.dialect import LATER_ABSENT_FIELDS
from coderproj.base.times import moment_text
from coderproj.identity.models import AuditLog
from provisioning.models import ProvisionerDaemon
from templates_app.models import Template, TemplateVersion
from tests.api import ApiClient, fields_of
from tests.commands import run, run_json
from tests.factories import make_file, make_template, make_user, make_version, make_workspace

pytestmark = pytest.mark.django_db

EVERY_DAY = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DEFAULTS = {
    "activity_bump_ms": 3_600_000,
    "autostop_requirement": {"days_of_week": [], "weeks": 1},
    "autostart_requirement": {"days_of_week": EVERY_DAY},
    "allow_user_autostart": True,
    "allow_user_autostop": True,
    "failure_ttl_ms": 0,
    "time_til_dormant_ms": 0,
    "time_til_dormant_autodelete_ms": 0,
    "require_active_version": False,
    "deprecated": False,
    "deprecation_message": "",
    "max_port_share_level": "public",
    "use_classic_parameter_flow": False,
    "cors_behavior": "simple",
    "agents_allowed": True,
}
RULES = {
    "activity_bump_ms": 7_200_000,
    "autostop_requirement": {"days_of_week": ["monday", "sunday"], "weeks": 2},
    "autostart_requirement": {"days_of_week": ["friday"]},
    "allow_user_autostart": False,
    "allow_user_autostop": False,
    "failure_ttl_ms": 1,
    "time_til_dormant_ms": 2,
    "time_til_dormant_autodelete_ms": 3,
    "require_active_version": True,
    "deprecation_message": 'old "and" é\\',
    "max_port_share_level": "owner",
    "use_classic_parameter_flow": True,
    "cors_behavior": "passthru",
    "agents_allowed": False,
}
MARKER = {
    "update_workspace_last_used_at": False,
    "update_workspace_dormant_at": False,
    "disable_everyone_group_access": False,
}


def rules_of(body):
    return {name: body[name] for name in DEFAULTS}


def test_defaults_and_names_of_the_organization(api, admin, organization):
    type(organization).objects.update(display_name="The Acme", icon="/icon/a.svg")
    template = make_template(user=admin, organization=organization)
    body = api.get(f"templates/{template.pk}").body
    assert rules_of(body) == DEFAULTS
    names = [body[f"organization_{name}"] for name in ("name", "display_name", "icon")]
    assert names == ["acme", "The Acme", "/icon/a.svg"]


def test_every_rule_comes_back_as_it_was_written(api, admin, organization):
    template = make_template(user=admin, organization=organization)
    written = rules_of(api.patch(f"templates/{template.pk}", RULES).body)
    assert written == {**RULES, "deprecated": True}
    assert rules_of(api.get(f"templates/{template.pk}").body) == written
    assert rules_of(api.get(f"organizations/acme/templates/{template.name}").body) == written
    (listed,) = api.get("organizations/acme/templates").body
    assert rules_of(listed) == written
    assert rules_of(api.get("templates?name=template").body[0]) == written
    # A documented client that knows none of the rules changes none.
    assert rules_of(api.patch(f"templates/{template.pk}", {"description": "text"}).body) == written
    row = AuditLog.objects.filter(resource_type="template", action="write").order_by("time")[0]
    assert (row.diff["autostop_days"]["new"], row.diff["failure_ttl_ms"]["new"]) == (65, 1)


def test_three_names_differ_on_creation(api, admin, organization):
    given = {**RULES, "dormant_ttl_ms": 2, "delete_ttl_ms": 3, "template_use_classic_parameter_flow": True}
    for name in ("time_til_dormant_ms", "time_til_dormant_autodelete_ms", "use_classic_parameter_flow"):
        del given[name]
    version = make_version(user=admin, organization=organization)
    answer = api.post("organizations/acme/templates", {**given, "name": "web", "template_version_id": str(version.pk)})
    assert rules_of(answer.body) == {**RULES, "deprecation_message": "", "deprecated": False}


def test_null_means_not_given(api, admin, organization):
    version = make_version(user=admin, organization=organization)
    nothing = dict.fromkeys([*RULES, "dormant_ttl_ms", "delete_ttl_ms", "template_use_classic_parameter_flow"])
    body = {**nothing, "name": "web", "template_version_id": str(version.pk)}
    assert rules_of(api.post("organizations/acme/templates", body).body) == DEFAULTS
    template = Template.objects.get()
    api.patch(f"templates/{template.pk}", RULES)
    assert rules_of(api.patch(f"templates/{template.pk}", nothing).body) == {**RULES, "deprecated": True}
    sdk = ApiClient(admin, accept=None)
    assert rules_of(sdk.patch(f"templates/{template.pk}", nothing | MARKER).body) == {**RULES, "deprecated": True}


def test_the_newer_sdk_leaves_out_false_and_zero(api, admin, organization):
    """Section 1 of the page about clients of today: the body tells the two apart."""
    template = make_template(user=admin, organization=organization, display_name="Web", icon="/icon/a.svg")
    api.patch(f"templates/{template.pk}", RULES)
    sdk = ApiClient(admin, accept=None)
    older = sdk.patch(f"templates/{template.pk}", {"description": "x", "display_name": "Web"}).body
    assert rules_of(older) == {**RULES, "deprecated": True}
    newer = sdk.patch(f"templates/{template.pk}", MARKER).body
    assert {name: newer[name] for name in LATER_ABSENT_FIELDS} == LATER_ABSENT_FIELDS
    kept = ("autostop_requirement", "autostart_requirement", "deprecation_message", "max_port_share_level")
    assert {name: newer[name] for name in kept} == {name: RULES[name] for name in kept}
    assert newer["display_name"] == "Web"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"activity_bump_ms": -1}, "activity_bump_ms"),
        ({"failure_ttl_ms": 2**62}, "failure_ttl_ms"),
        ({"time_til_dormant_ms": "1"}, "time_til_dormant_ms"),
        ({"time_til_dormant_autodelete_ms": 1.5}, "time_til_dormant_autodelete_ms"),
        ({"autostop_requirement": {"days_of_week": ["sunday"], "weeks": 0}}, "autostop_requirement.weeks"),
        ({"autostop_requirement": {"days_of_week": ["sunday"], "weeks": 17}}, "autostop_requirement.weeks"),
        ({"autostop_requirement": {"weeks": 1}}, "autostop_requirement.days_of_week"),
        ({"autostop_requirement": {"days_of_week": ["funday"]}}, "autostop_requirement.days_of_week[0]"),
        ({"autostart_requirement": {"days_of_week": ["monday"] * 8}}, "autostart_requirement.days_of_week"),
        ({"autostart_requirement": {}}, "autostart_requirement.days_of_week"),
        ({"autostart_requirement": []}, "autostart_requirement"),
        ({"max_port_share_level": "everyone"}, "max_port_share_level"),
        ({"cors_behavior": "none"}, "cors_behavior"),
        ({"deprecation_message": "x" * 1025}, "deprecation_message"),
        ({"allow_user_autostart": "no"}, "allow_user_autostart"),
    ],
)
def test_bad_rules_are_refused_and_nothing_is_changed(api, admin, organization, body, field):
    template = make_template(user=admin, organization=organization)
    answer = api.patch(f"templates/{template.pk}", {**body, "description": "new"})
    assert (answer.status_code, fields_of(answer)) == (400, [field])
    template.refresh_from_db()
    assert template.description == ""
    assert rules_of(api.get(f"templates/{template.pk}").body) == DEFAULTS


def test_the_command_changes_rules(admin, organization):
    make_user("owner", organizations=(organization,), site_roles=("owner",))
    template = make_template(user=admin, organization=organization, name="web")
    requirement = {"days_of_week": ["sunday"], "weeks": 2}
    changes = ("--set", f"autostop_requirement={json.dumps(requirement)}", "--set", "deprecation_message=old")
    answer = run_json("templates", "edit", "web", *changes)
    assert (answer["autostop_requirement"], answer["deprecated"]) == (requirement, True)
    for change, text in (("failure_ttl_ms=-1", "failure_ttl_ms"), ("rules=x", "no such field")):
        with pytest.raises(CommandError, match=text):
            run("templates", "edit", "web", "--set", change)
    run("templates", "edit", "web", "--set", "deprecation_message=2025", "--set", "description=true")
    template = Template.objects.get()
    assert (template.deprecation_message, template.description) == ("2025", "true")
    with pytest.raises(CommandError, match="activity_bump_ms: A field cannot be null"):
        run("templates", "edit", "web", "--set", "activity_bump_ms=null")
    template.refresh_from_db()
    assert (template.failure_ttl_ms, template.autostop_weeks) == (0, 2)


# ---------------------------------------------------------------------- versions
def test_a_new_version_says_which_daemons_may_import_it(api, admin, organization):
    file = make_file(admin)
    path = "organizations/acme/templateversions"
    body = {"file_id": str(file.pk), "storage_method": "file", "provisioner": "echo"}
    nobody = {"count": 0, "available": 0, "most_recently_seen": None}
    assert api.post(path, body).body["matched_provisioners"] == nobody
    now = timezone.now()
    facts = {"provisioners": ["echo"], "tags": {"scope": "organization"}}
    ProvisionerDaemon.objects.create(name="here", last_seen_at=now, **facts)
    ProvisionerDaemon.objects.create(name="silent", last_seen_at=now - timedelta(minutes=5), **facts)
    ProvisionerDaemon.objects.create(name="stopped", last_seen_at=now, stopped_at=now, **facts)
    found = api.post(path, body).body["matched_provisioners"]
    assert (found["count"], found["available"]) == (2, 1)
    assert found["most_recently_seen"] == moment_text(now)
    assert api.post(path, {**body, "tags": {"gpu": "yes"}}).body["matched_provisioners"] == nobody
    assert "matched_provisioners" not in api.get(f"templateversions/{api.post(path, body).body['id']}").body


def test_versions_have_no_external_sign_ins(api, admin, organization, member):
    version = make_version(user=admin, organization=organization)
    path = f"templateversions/{version.pk}/external-auth"
    assert api.get(path).body == []
    assert ApiClient(member).get(path).status_code == 404


# ---------------------------------------------------------------------- archiving
@pytest.fixture
def line(admin, organization):
    """A template with the active version, a used one, an unused, a failed, and a pending one."""
    template = make_template(user=admin, organization=organization, name="web")
    versions = {
        name: make_version(user=admin, organization=organization, template=template, name=name)
        for name in ("used", "unused")
    }
    versions["failed"] = make_version(
        user=admin, organization=organization, template=template, name="failed", error="no"
    )
    make_workspace(user=admin, template=template, version_id=versions["used"].pk)
    make_version(user=admin, organization=organization, template=template, name="pending", finished=False)
    return template, versions


def test_archive_keeps_what_is_needed(api, line):
    template, versions = line
    path = f"templates/{template.pk}/versions/archive"
    answer = api.post(path, {"all": False})
    assert answer.body == {"template_id": str(template.pk), "archived_ids": [str(versions["failed"].pk)]}
    assert api.post(path).body["archived_ids"] == []
    assert api.post(path, {"all": True}).body["archived_ids"] == [str(versions["unused"].pk)]
    template.active_version.refresh_from_db()
    assert not template.active_version.archived


def test_lists_leave_archived_versions_out(api, line):
    template, versions = line
    TemplateVersion.objects.filter(name__in=["unused", "failed"]).update(archived=True)

    def names(query=""):
        return {row["name"] for row in api.get(f"templates/{template.pk}/versions{query}").body}

    listed = {template.active_version.name, "used", "pending"}
    assert names() == names("?include_archived=false") == names("?archived=false") == listed
    assert names("?include_archived=true") == {*listed, "unused", "failed"}
    assert names("?archived=true") == {"unused", "failed"}
    assert names("?limit=2") <= listed
    answer = api.get(f"templates/{template.pk}/versions?include_archived=some")
    assert (answer.status_code, fields_of(answer)) == (400, ["include_archived"])
    assert api.get(f"templateversions/{versions['unused'].pk}").body["archived"] is True


def test_who_may_archive(line, member):
    template, _ = line
    path = f"templates/{template.pk}/versions/archive"
    assert ApiClient(member).post(path, {"all": True}).status_code == 403
    assert ApiClient(make_user("stranger")).post(path, {"all": True}).status_code == 404
    assert not TemplateVersion.objects.filter(archived=True).exists()


def test_bad_bodies_of_archive(api, line):
    template, _ = line
    answer = api.post(f"templates/{template.pk}/versions/archive", {"all": "yes"})
    assert (answer.status_code, fields_of(answer)) == (400, ["all"])
    answer = api.patch(f"templateversions/{template.active_version_id}", {"name": "archive"})
    assert (answer.status_code, fields_of(answer)) == (400, ["name"])


def test_the_command_archives(line):
    make_user("owner", site_roles=("owner",))
    assert len(run_json("templates", "archive", "web")["archived_ids"]) == 1
    assert "1 of the versions" in run("templates", "archive", "web", "--all")
