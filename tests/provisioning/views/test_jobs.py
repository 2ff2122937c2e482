"""The jobs of an organization over the API."""

import uuid

import pytest
from django.utils import timezone

from coderproj.identity.models import User
from provisioning.engine import base
from provisioning.models import ProvisionerDaemon
from provisioning.queue import jobs
from templates_app.job_kinds import JobType
from templates_app.models import Template
from tests.api import ApiClient, fields_of
from tests.factories import claim, finish, make_job, make_organization, make_template, make_user

pytestmark = pytest.mark.django_db

KEYS = [
    "id",
    "created_at",
    "status",
    "file_id",
    "tags",
    "queue_position",
    "queue_size",
    "organization_id",
    "initiator_id",
    "input",
    "type",
    "worker_name",
    "metadata",
]


@pytest.fixture
def org():
    return make_organization("acme", is_default=True)


@pytest.fixture
def member(org):
    return make_user("mel", organizations=(org,))


@pytest.fixture
def admin(org):
    return make_user("ada", organizations=(org,), organization_roles=("organization-admin",))


def listed(user, query="", organization="acme"):
    answer = ApiClient(user).get(f"organizations/{organization}/provisionerjobs", QUERY_STRING=query)
    assert answer.status_code == 200, answer.body
    return answer.body


def ids(user, query="", organization="acme"):
    return [row["id"] for row in listed(user, query, organization)]


def test_a_job_has_the_shape_that_clients_expect(member, org):
    version_id = str(uuid.uuid4())
    secret = {"template_version_id": version_id, "rich_parameter_values": [{"name": "a", "value": "s3cr3t"}]}
    job = make_job(user=member, organization=org, job_input=secret)
    (row,) = listed(member)
    assert list(row) == KEYS
    assert (row["id"], row["status"], row["type"]) == (str(job.pk), "pending", "template_version_dry_run")
    assert (row["queue_position"], row["queue_size"]) == (1, 1)
    assert row["input"] == {"template_version_id": version_id}
    assert "s3cr3t" not in str(row)


def test_jobs_name_what_they_are_about(member, admin, org):
    """What the command line of 2025 shows of jobs and their daemons."""
    template = make_template(user=admin, organization=org, name="web", display_name="The web", icon="/icon/a.svg")
    version = template.active_version
    daemon = ProvisionerDaemon.objects.create(name="builder", last_seen_at=timezone.now(), provisioners=["echo"])
    waiting = make_job(user=admin, organization=org, job_input={"template_version_id": str(version.pk)})
    lease = claim(daemon_id=daemon.pk)
    running, imported = listed(admin)
    about = {
        "template_version_name": version.name,
        "template_id": str(template.pk),
        "template_name": "web",
        "template_display_name": "The web",
        "template_icon": "/icon/a.svg",
    }
    assert (lease.job_id, running["worker_name"], running["metadata"]) == (waiting.pk, "builder", about)
    # The import is older than its version, so its input does not name it.
    assert imported["input"] == {"template_version_id": str(version.pk)}
    path = f"organizations/acme/provisionerjobs/{imported['id']}"
    assert ApiClient(admin).get(path).body == imported
    assert (ApiClient(member).get(path).status_code, ApiClient(admin).get(path + "x").status_code) == (404, 400)
    assert ApiClient(admin).get(f"organizations/acme/provisionerjobs/{uuid.uuid4()}").status_code == 404
    # Daemons say whether they work.
    (row,) = ApiClient(make_user(site_roles=("owner",))).get("provisionerdaemons").body
    assert (row["status"], row["key_name"], row["api_version"]) == ("busy", "built-in", "1.0")
    assert row["last_seen_at"] == row["updated_at"]["Time"]
    jobs.complete(lease, base.PlanResult())
    (row,) = ApiClient(make_user(site_roles=("owner",))).get("provisionerdaemons").body
    assert row["status"] == "idle"


def test_metadata_of_templates_is_for_those_who_see_them(member, admin, org):
    template = make_template(user=admin, organization=org, name="web", everyone=False)
    make_job(user=member, organization=org, job_input={"template_version_id": str(template.active_version_id)})
    (row,) = listed(member)
    assert row["metadata"] == {}


def test_which_jobs_users_see(member, admin, org):
    other = make_organization("other")
    both = make_user(organizations=(org, other))
    mine = make_job(user=member, organization=org)
    theirs = make_job(user=both, organization=org)
    elsewhere = make_job(user=both, organization=other)
    assert ids(member) == [str(mine.pk)]
    assert ids(both) == [str(theirs.pk)]
    assert ids(both, organization="other") == [str(elsewhere.pk)]
    for user in (admin, make_user(site_roles=("owner",)), make_user(site_roles=("template-admin",))):
        assert ids(user) == [str(theirs.pk), str(mine.pk)]
    assert ids(make_user(site_roles=("auditor",))) == []
    stranger = ApiClient(make_user(organizations=(other,)))
    assert stranger.get("organizations/acme/provisionerjobs").status_code == 404


def test_queue_positions_have_the_order_of_claims(member, admin, org):
    done = make_job(user=member, organization=org)
    finish(done)
    first, second = (make_job(user=member, organization=org) for _ in range(2))
    urgent = make_job(user=admin, organization=org, priority=5)
    places = {row["id"]: (row["queue_position"], row["queue_size"]) for row in listed(admin)}
    assert places == {
        str(urgent.pk): (1, 3),
        str(first.pk): (2, 3),
        str(second.pk): (3, 3),
        str(done.pk): (0, 3),
    }
    # The position is the same for a user who does not see the jobs in front.
    assert [row["queue_position"] for row in listed(member)] == [3, 2, 0]


def test_lists_are_paged(member, org):
    made = [str(make_job(user=member, organization=org).pk) for _ in range(3)][::-1]
    assert ids(member, "limit=2") == made[:2]
    assert ids(member, "limit=2&offset=2") == made[2:]
    answer = ApiClient(member).get("organizations/acme/provisionerjobs", QUERY_STRING=f"after_id={made[0]}")
    assert (answer.status_code, fields_of(answer)) == (400, ["after_id"])


def test_filters_narrow_the_list(member, admin, org):
    good, bad = (make_job(user=member, organization=org, job_type=JobType.IMPORT) for _ in range(2))
    lease = claim()
    jobs.cancel(bad.pk)
    waiting = make_job(user=admin, organization=org)
    good.refresh_from_db()
    assert lease.job_id == good.pk
    found = {
        query: ids(admin, query)
        for query in (
            "status=running",
            "status=canceled,pending",
            "type=template_version_import",
            "initiator=mel",
            "initiator=me",
            "organization=acme",
            f"worker={good.worker_id}",
            f"created_after={good.created_at.isoformat().replace('+', '%2B')}",
            f"created_before={waiting.created_at.isoformat().replace('+', '%2B')}&status=canceled",
        )
    }
    one, two, three = (str(job.pk) for job in (good, bad, waiting))
    assert list(found.values()) == [
        [one],
        [three, two],
        [two, one],
        [two, one],
        [three],
        [three, two, one],
        [one],
        [three, two],
        [two],
    ]


def test_jobs_of_a_template_are_those_of_its_versions(member, admin, org):
    web, other = (make_template(user=member, organization=org, name=name) for name in ("web", "other"))
    run = make_job(user=admin, organization=org, job_input={"template_version_id": str(web.active_version_id)})
    assert ids(admin, "template=we") == [str(run.pk), str(web.active_version.job_id)]
    assert ids(admin, "template=other") == [str(other.active_version.job_id)]
    assert ids(admin, "template=none") == []


def test_jobs_are_found_by_display_names_and_for_deleted_templates(member, admin, org):
    web = make_template(user=member, organization=org, name="web", display_name="Machines")
    Template.objects.filter(pk=web.pk).update(deleted=True)
    assert ids(admin, "template=machi") == [str(web.active_version.job_id)]


def test_an_initiator_is_a_visible_user_or_the_initiator_of_a_visible_job(member, admin, org):
    gone = make_user("gone", organizations=(org,))
    job = make_job(user=gone, organization=org)
    stranger = make_user("stranger", organizations=(make_organization("other"),))
    User.objects.filter(pk=gone.pk).update(deleted=True)
    assert ids(admin, "initiator=GONE") == ids(admin, f"initiator={gone.pk}") == [str(job.pk)]
    assert ids(admin, "initiator=mel") == []
    # Other users are not revealed.
    hidden = {(user, name) for user in (admin, member) for name in ("stranger", str(stranger.pk), "nobody")}
    for user, name in hidden | {(member, "gone"), (member, str(gone.pk))}:
        answer = ApiClient(user).get("organizations/acme/provisionerjobs", QUERY_STRING=f"initiator={name}")
        assert (answer.status_code, fields_of(answer)) == (400, ["initiator"])


def test_other_filters_do_not_change_which_initiators_are_known(member, admin, org):
    gone = make_user("gone", organizations=(org,))
    make_job(user=gone, organization=org)
    User.objects.filter(pk=gone.pk).update(deleted=True)
    assert ids(admin, "status=failed&initiator=gone") == []
