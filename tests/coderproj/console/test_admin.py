"""The admin: actions use the services, changes by forms are audited, and console and admin link to each other."""

import pytest
from django.contrib import admin
from django.urls import get_resolver, reverse
from django.utils import timezone

from coderproj.identity import tokens
from coderproj.identity.models import ApiKey, AuditLog, Group, GroupMembership, Membership
from provisioning.models import ProvisionerDaemon, ProvisionerJobLog
from provisioning.queue import jobs
from templates_app.models import AccessRole, TemplateAccess, TemplateVersion
from tests.factories import claim, make_job, make_template, make_user, make_version
from tests.pages import browser

pytestmark = pytest.mark.django_db
OURS = ("identity", "provisioning", "templates_app")
MOST_COLUMNS = 6


@pytest.fixture
def web(owner, organization):
    return make_template(user=owner, organization=organization, name="web", display_name="Web machines")


def act(user, model: str, action: str, *rows) -> str:
    """Run an admin action as a user and return the next page."""
    client = browser(user)
    url = reverse(f"admin:{model}_changelist")
    answer = client.post(url, {"action": action, "_selected_action": [str(row.pk) for row in rows]}, follow=True)
    return answer.content.decode()


def test_lists_are_narrow_and_can_be_searched():
    get_resolver().url_patterns  # noqa: B018 - loading the routes registers the admin classes
    tables = [table for model, table in admin.site._registry.items() if model._meta.app_label in OURS]
    assert len(tables) > 15
    for table in tables:
        assert 2 <= len(table.list_display) <= MOST_COLUMNS, table
        assert table.search_fields, table
        assert not table.inlines, table


# ---------------------------------------------------------------------- jobs
def test_jobs_are_canceled(owner, organization):
    job = make_job(user=owner, organization=organization)
    page = act(owner, "provisioning_provisionerjob", "cancel", job)
    assert "Requested the cancellation of 1 of the jobs." in page
    job.refresh_from_db()
    assert job.status == "canceled"
    row = AuditLog.objects.get(resource_type="provisioner_job")
    assert (row.action, row.username, "canceled_at" in row.diff) == ("stop", "ada", True)
    assert "The job has already completed." in act(owner, "provisioning_provisionerjob", "cancel", job)
    assert AuditLog.objects.filter(resource_type="provisioner_job", status_code=400).exists()


def test_running_jobs_are_queued_again_and_their_daemon_is_fenced(owner, organization):
    job = make_job(user=owner, organization=organization)
    assert "Only a job that is running" in act(owner, "provisioning_provisionerjob", "requeue", job)
    lease = claim()
    assert "Queued 1 of the jobs again." in act(owner, "provisioning_provisionerjob", "requeue", job)
    job.refresh_from_db()
    assert (job.status, job.attempts) == ("pending", 1)
    with pytest.raises(jobs.LeaseLost):
        jobs.heartbeat(lease, lease_seconds=60)
    assert "ada returned it to the queue" in ProvisionerJobLog.objects.get(job=job).output
    claim()
    jobs.cancel(job.pk)
    assert "The cancellation of this job was requested." in act(owner, "provisioning_provisionerjob", "requeue", job)


def test_a_build_is_not_queued_again(owner, organization):
    job = make_job(user=owner, organization=organization, job_type="workspace_build")
    claim()
    assert "cannot be repeated" in act(owner, "provisioning_provisionerjob", "requeue", job)
    job.refresh_from_db()
    assert job.status == "running"


@pytest.mark.parametrize("action", ["cancel", "requeue"])
def test_auditors_can_read_but_not_change(action, owner, organization):
    job = make_job(user=owner, organization=organization)
    auditor = make_user(site_roles=("auditor",))
    page = act(auditor, "provisioning_provisionerjob", action, job)
    assert f'value="{action}"' not in page
    job.refresh_from_db()
    assert job.status == "pending"


def test_jobs_are_filtered_by_status(owner, organization, web):
    waiting = make_job(user=owner, organization=organization)
    url = reverse("admin:provisioning_provisionerjob_changelist")
    page = browser(owner).get(f"{url}?status=pending").content.decode()
    assert str(waiting.pk) in page
    assert str(web.active_version.job_id) not in page


# ---------------------------------------------------------------------- versions, keys, users
def test_all_versions_but_the_active_one_can_be_archived(owner, organization, web):
    older = make_version(user=owner, organization=organization, template=web)
    page = act(owner, "templates_app_templateversion", "archive", older, web.active_version)
    assert "Archived 1 of the versions." in page
    assert "The active version cannot be archived." in page
    older.refresh_from_db()
    assert older.archived
    act(owner, "templates_app_templateversion", "unarchive", older)
    assert not TemplateVersion.objects.filter(archived=True).exists()
    assert AuditLog.objects.filter(resource_type="template_version", status_code=200).count() == 2


def test_keys_are_revoked(owner, member):
    key, _ = tokens.issue(user=member)
    assert "Revoked 1 of the keys." in act(owner, "identity_apikey", "revoke", key)
    assert not ApiKey.objects.filter(pk=key.pk).exists()
    assert AuditLog.objects.get(resource_type="api_key").action == "delete"


def test_users_are_suspended_and_activated(owner, member):
    tokens.issue(user=member)
    page = act(owner, "identity_user", "suspend", member, owner)
    assert "Suspended 1 of the users." in page
    assert "You cannot suspend yourself." in page
    member.refresh_from_db()
    assert (member.status, ApiKey.objects.filter(user=member).count()) == ("suspended", 0)
    act(owner, "identity_user", "activate", member)
    member.refresh_from_db()
    assert member.status == "active"


def test_the_form_of_a_user_changes_neither_roles_nor_status(owner, member):
    url = reverse("admin:identity_user_change", args=[member.pk])
    assert "password" not in browser(owner).get(url).content.decode().partition('id="user_form"')[2]
    given = {"username": "mimi", "email": member.email, "status": "suspended", "site_roles": ["owner"]}
    assert browser(owner).post(url, given).status_code == 302
    member.refresh_from_db()
    assert (member.username, member.status, member.site_roles) == ("mimi", "active", [])
    row = AuditLog.objects.get(resource_type="user")
    assert row.diff == {"username": {"old": "mira", "new": "mimi", "secret": False}}


# ---------------------------------------------------------------------- forms
def test_changes_by_forms_are_audited(owner, member, organization, web):
    group = Group.objects.create(organization=organization, name="night-shift")
    client = browser(owner)
    client.post(reverse("admin:identity_groupmembership_add"), {"group": group.pk, "user": member.pk})
    membership = GroupMembership.objects.get()
    row = AuditLog.objects.get(resource_type="group")
    assert (row.action, row.diff["members"]["new"]) == ("write", [str(member.pk)])
    client.post(reverse("admin:identity_groupmembership_delete", args=[membership.pk]), {"post": "yes"})
    assert AuditLog.objects.filter(resource_type="group").count() == 2
    given = {"template": web.pk, "group": group.pk, "user": "", "role": "use"}
    client.post(reverse("admin:templates_app_templateaccess_add"), given)
    assert TemplateAccess.objects.get(group=group).role == AccessRole.USE
    assert AuditLog.objects.get(resource_type="template").diff["group_acl"]["new"][str(group.pk)] == "use"
    url = reverse("admin:identity_membership_delete", args=[Membership.objects.get(user=member).pk])
    client.post(url, {"post": "yes"})
    row = AuditLog.objects.get(resource_type="organization_member")
    assert (row.action, row.resource_target) == ("delete", "mira")


# ---------------------------------------------------------------------- links
def test_console_and_admin_link_to_each_other(owner, member, organization, web):
    daemon = ProvisionerDaemon.objects.create(name="builtin-0", last_seen_at=timezone.now(), provisioners=["echo"])
    job = make_job(user=owner, organization=organization)
    pages = {
        member: f"/users/{member.pk}",
        organization: f"/organizations/{organization.pk}",
        Group.objects.get(pk=organization.pk): f"/groups/{organization.pk}",
        daemon: f"/daemons/{daemon.pk}",
        job: f"/jobs/{job.pk}",
        web: f"/templates/{web.pk}",
    }
    client = browser(owner)
    for row, page in pages.items():
        url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
        assert f'href="{page}" class="viewsitelink">Open in the console' in client.get(url).content.decode()
        assert f'href="{url}"' in client.get(page, follow=True).content.decode()
        assert f'href="{url}"' not in browser(member).get(page, follow=True).content.decode()
