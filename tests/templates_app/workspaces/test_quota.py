"""Quotas: what counts, whether a start fits, and who sees the figures (contract, activity, statistics, quota)."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from coderproj.identity.models import Group, GroupMembership
from provisioning.engine.base import BuildResult, Resource
from provisioning.models import DEFAULT_TAGS, ProvisionerJob
from provisioning.protocol.client import DaemonFacts
from provisioning.protocol.leases import LeaseLost, Worker
from provisioning.queue import jobs
from provisioning.queue.daemon_service import JobService
from templates_app.workspaces.models import WorkspaceBuild
from templates_app.workspaces.services import quota
from tests.api import ApiClient
from tests.factories import claim, make_organization, make_template, make_user
from tests.templates_app.workspaces.lives import begin, build, finish_build

pytestmark = pytest.mark.django_db
STATE = b'{"serial": 1}'


def allow(organization, allowance, *members, name="team"):
    """Give the members a group with an allowance; without members, the group of all of them."""
    if not members:
        Group.objects.filter(pk=organization.pk).update(quota_allowance=allowance)
        return
    group = Group.objects.create(organization=organization, name=name, quota_allowance=allowance)
    GroupMembership.objects.bulk_create(GroupMembership(group=group, user=user) for user in members)


def made(cost):
    return BuildResult((Resource("dev", "vm", daily_cost=cost),))


def run(cost, *, state=STATE, error=""):
    """Run the waiting start like a daemon: commit its cost, then end it. Returns why it was refused, or nothing."""
    lease = claim()
    decision = jobs.commit_cost(lease, cost)
    if decision.refusal:
        jobs.fail(lease, decision.refusal)
        return decision.refusal
    if state:
        jobs.store_state(lease, state)
    if error:
        jobs.fail(lease, error)
    else:
        jobs.complete(lease, made(cost))
    return ""


def figures(user, organization):
    found = quota.quota_of(user.pk, organization.pk)
    return found.consumed, found.budget


def test_starts_fit_until_the_budget_is_used(ada, organization, template):
    """STA-05."""
    allow(organization, 1, ada, name="one")
    allow(organization, 2, ada, name="two")
    first = begin(ada, organization, template, name="a")
    assert run(1) == ""
    for number, name in enumerate("bc", start=2):
        begin(ada, organization, template, name=name)
        assert run(1) == ""
        assert figures(ada, organization) == (number, 3)
    begin(ada, organization, template, name="d")
    refusal = run(1)
    assert refusal.startswith("insufficient quota: the workspace costs 1 credits a day, but only 0 of the 3 of ada")
    assert WorkspaceBuild.objects.get(workspace__name="d").job.error == refusal
    build(ada, first, "delete")
    finish_build()
    assert figures(ada, organization) == (2, 3)
    build(ada, WorkspaceBuild.objects.get(workspace__name="d").workspace, "start")
    assert run(1) == ""


def test_workspace_that_grows_over_the_budget_is_refused(ada, organization, template):
    """STA-07."""
    allow(organization, 3, ada)
    workspace = begin(ada, organization, template)
    assert run(2) == ""
    build(ada, workspace, "start")
    assert "costs 4 credits a day, but only 3 of the 3" in run(4)
    assert figures(ada, organization) == (2, 3)
    build(ada, workspace, "start")
    assert run(3) == ""
    assert figures(ada, organization) == (3, 3)


def test_workspace_over_a_lowered_budget_can_be_built_again_but_not_grow(ada, organization, template):
    allow(organization, 5, ada)
    workspace = begin(ada, organization, template)
    assert run(5) == ""
    Group.objects.filter(name="team").update(quota_allowance=1)
    assert quota.quota_of(ada.pk, organization.pk).left == -4
    for cost, fits in ((5, True), (6, False), (4, True)):
        build(ada, workspace, "start")
        assert (run(cost) == "") is fits


def test_failed_deletion_still_counts(ada, organization, template):
    """STA-08."""
    allow(organization, 3, ada)
    workspace = begin(ada, organization, template)
    run(2)
    build(ada, workspace, "delete")
    assert figures(ada, organization) == (2, 3)
    finish_build(state=b'{"serial": 2}', error="apply for delete failed")
    assert figures(ada, organization) == (2, 3)


@pytest.mark.parametrize(("state", "counts"), [(b"", 0), (STATE, 2)])
def test_failed_start_counts_if_it_changed_anything(ada, organization, template, state, counts):
    allow(organization, 3, ada)
    begin(ada, organization, template)
    run(2, state=state, error="apply for start failed")
    assert figures(ada, organization) == (counts, 3)


def test_state_of_a_lost_start_that_comes_late_counts(ada, organization, template):
    allow(organization, 3, ada)
    begin(ada, organization, template)
    lease = claim(lease_seconds=0.5)
    jobs.commit_cost(lease, 2)
    assert figures(ada, organization) == (2, 3)
    ProvisionerJob.objects.filter(pk=lease.job_id).update(lease_expires_at=Now() - timedelta(seconds=1))
    jobs.expire()
    assert figures(ada, organization) == (0, 3)
    with pytest.raises(LeaseLost):
        jobs.store_state(lease, STATE)
    assert figures(ada, organization) == (2, 3)


def test_stop_frees_what_it_destroys_and_is_never_refused(ada, organization, template):
    allow(organization, 3, ada)
    workspace = begin(ada, organization, template)
    run(3)
    Group.objects.filter(name="team").update(quota_allowance=1)
    build(ada, workspace, "stop")
    stopping = WorkspaceBuild.objects.get(transition="stop")
    assert not quota.applies_to(stopping)
    finish_build(result=made(1))
    assert figures(ada, organization) == (1, 1)


def test_repeated_commit_counts_once(ada, organization, template):
    allow(organization, 3, ada)
    begin(ada, organization, template)
    lease = claim()
    for _ in range(2):
        decision = jobs.commit_cost(lease, 3)
        assert decision.refusal == ""
        assert decision.notes[1] == "The budget of ada in acme is 3 credits a day"
        assert figures(ada, organization) == (3, 3)


def test_organization_without_allowances_has_no_limit(ada, organization, template):
    workspace = begin(ada, organization, template)
    build_row = workspace.latest_build
    assert not quota.applies_to(build_row)
    finish_build(result=made(100))
    assert figures(ada, organization) == (100, None)


def test_where_one_group_has_an_allowance_members_without_one_have_none(ada, owner, organization, template):
    allow(organization, 3, owner)
    begin(ada, organization, template)
    assert "only 0 of the 0 of ada" in run(1)


def test_everyone_counts_for_each_member_and_other_organizations_do_not(ada, organization):
    """Decision 13."""
    allow(organization, 4)
    other = make_organization("other")
    allow(other, 100)
    stranger = make_user("stranger", organizations=(other,))
    assert figures(ada, organization) == (0, 4)
    assert figures(ada, other) == (0, 0)
    assert figures(stranger, other) == (0, 100)
    assert figures(stranger, organization) == (0, 0)


def test_two_starts_of_which_one_fits(ada, organization, template, transactional_db):
    """STA-14: both decisions are made, one after the other."""
    allow(organization, 3, ada)
    for name in "ab":
        begin(ada, organization, template, name=name)
    leases = [claim(), claim()]
    together = threading.Barrier(2)
    refusals = []

    def commit(lease):
        together.wait()
        refusals.append(jobs.commit_cost(lease, 2).refusal)
        connection.close()

    threads = [threading.Thread(target=commit, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bool(refusal) for refusal in refusals) == [False, True]
    assert figures(ada, organization) == (2, 3)


def test_template_cannot_give_credits_back(ada, organization, template):
    allow(organization, 3, ada)
    begin(ada, organization, template)
    finish_build(result=BuildResult((Resource("dev", "vm", daily_cost=-5),)))
    assert figures(ada, organization) == (0, 3)
    begin(ada, organization, template, name="b")
    top = 2**63 - 1
    finish_build(result=BuildResult(tuple(Resource(name, "vm", daily_cost=top) for name in "ab")))
    assert ApiClient(ada).get("workspace-quota/me").body == {"credits_consumed": top, "budget": 3}


def test_input_of_a_build_says_whether_its_cost_must_be_committed(ada, organization, template):
    allow(organization, 3, ada)
    begin(ada, organization, template)
    service = JobService()
    facts = DaemonFacts("d", dict(DEFAULT_TAGS), ("echo",), 1, "", "", "", "")
    worker = Worker(service.register(facts), ("echo",), DEFAULT_TAGS)
    assert service.acquire(worker, lease_seconds=60).payload.commits_cost


# ---------------------------------------------------------------------- who sees it
def test_quota_of_others_is_for_administrators_of_users(ada, owner, organization, template):
    """STA-09."""
    other = make_organization("other")
    allow(organization, 3, ada)
    begin(ada, organization, template)
    run(2)
    path = "workspace-quota/ada"
    expected = {"credits_consumed": 2, "budget": 3}
    admin = make_user("oa", organizations=(organization,))
    admin.memberships.update(roles=["organization-admin"])
    elsewhere = make_user("oe", organizations=(organization, other))
    elsewhere.memberships.filter(organization=other).update(roles=["organization-admin"])
    for user in (ada, owner, make_user("ua", site_roles=("user-admin",)), admin):
        assert ApiClient(user).get(path).body == expected
    for name, roles in (("member", ()), ("ta", ("template-admin",)), ("auditor", ("auditor",))):
        assert ApiClient(make_user(name, organizations=(organization,), site_roles=roles)).get(path).status_code == 404
    assert ApiClient(elsewhere).get(path).status_code == 404
    assert ApiClient(owner).get("workspace-quota/nobody").status_code == 400


def test_quota_in_one_organization(ada, owner, organization):
    other = make_organization(
        "other",
    )
    make_template(user=owner, organization=organization, name="second")
    allow(organization, 3, ada)
    client = ApiClient(ada)
    assert client.get("organizations/acme/members/me/workspace-quota").body == {"credits_consumed": 0, "budget": 3}
    assert client.get(f"organizations/{other.pk}/members/me/workspace-quota").status_code == 404
