"""Pages of daemons and of their keys."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from coderproj.identity.actor import Actor
from provisioning import keys
from provisioning.models import ProvisionerDaemon, ProvisionerJob, ProvisionerKey
from provisioning.queue.utilisation import work_of
from tests.factories import claim, make_job, make_organization, make_user
from tests.pages import browser, text_of

pytestmark = pytest.mark.django_db
TAGS = {"scope": "organization"}


def make_daemon(name: str, *, seen: timedelta = timedelta(0), age: timedelta = timedelta(days=2), **fields):
    now = timezone.now()
    daemon = ProvisionerDaemon.objects.create(
        name=name, version="0.1.0", last_seen_at=now - seen, provisioners=["echo"], tags=TAGS, **fields
    )
    ProvisionerDaemon.objects.filter(pk=daemon.pk).update(created_at=now - age)
    daemon.refresh_from_db()
    return daemon


def make_finished(daemon, owner, organization, *, ago: timedelta, ran: timedelta, **fields) -> ProvisionerJob:
    job = make_job(user=owner, organization=organization)
    started_at = timezone.now() - ago
    ProvisionerJob.objects.filter(pk=job.pk).update(
        worker_id=daemon.pk, started_at=started_at, completed_at=started_at + ran, **fields
    )
    return job


# ---------------------------------------------------------------------- daemons
def test_page_without_daemons_explains_how_to_start_one(owner, member):
    assert "Create a key for a daemon" in text_of(browser(owner).get("/daemons"))
    text = text_of(browser(member).get("/daemons"))
    assert "No daemon has registered" in text
    assert "key" not in text.partition("Jobs wait until one does")[2].partition("it needs a key.")[2]


def test_daemons_are_filtered_by_state(owner, organization):
    make_job(user=owner, organization=organization)
    claim(daemon_id=make_daemon("busy-one").pk, tags=TAGS)
    make_daemon("idle-one")
    make_daemon("lost-one", seen=timedelta(minutes=5))
    make_daemon("gone-one", stopped_at=timezone.now())
    client = browser(owner)
    text = text_of(client.get("/daemons"))
    assert "busy-one 0.1.0 Busy Dry run" in text
    assert "idle-one 0.1.0 Idle ready for 1 job" in text
    assert "lost-one 0.1.0 Not seen" in text
    assert "gone-one" not in text

    def names(query: str) -> set[str]:
        page = client.get(f"/daemons{query}").content.decode()
        return {name for name in ("busy", "idle", "lost", "gone") if f"<strong>{name}-one" in page}

    assert names("?show=online") == {"busy", "idle"}
    assert names("?show=stale") == {"lost"}
    assert names("?show=stopped") == {"gone"}
    assert names("?show=all") == {"busy", "idle", "lost", "gone"}
    assert names("?q=ID") == {"idle"}


def test_hidden_jobs_are_counted_but_not_named(owner, member, organization):
    job = make_job(user=owner, organization=organization)
    daemon = make_daemon("builtin-0")
    claim(daemon_id=daemon.pk, tags=TAGS)
    make_finished(daemon, owner, organization, ago=timedelta(hours=1), ran=timedelta(seconds=30))
    client = browser(member)
    assert "1 job of other users" in text_of(client.get("/daemons"))
    page = client.get(f"/daemons/{daemon.pk}")
    assert str(job.pk) not in page.content.decode()
    assert "Jobs, 24 h 1" in text_of(page)
    assert "None yet." in text_of(page)
    assert client.get(f"/daemons/{uuid.uuid4()}").status_code == 404


def test_utilisation_counts_finished_jobs_within_the_period(owner, organization):
    daemon = make_daemon("builtin-0", concurrency=2)
    young = make_daemon("young", age=timedelta(hours=1))
    make_finished(daemon, owner, organization, ago=timedelta(hours=5), ran=timedelta(hours=3))
    make_finished(daemon, owner, organization, ago=timedelta(hours=25), ran=timedelta(hours=4), error="no")
    make_finished(daemon, owner, organization, ago=timedelta(days=3), ran=timedelta(hours=4))
    make_finished(young, owner, organization, ago=timedelta(minutes=30), ran=timedelta(minutes=15))
    found = work_of([daemon, young])
    work = found[daemon.pk]
    assert (work.count, work.failed, round(work.seconds / 60)) == (2, 1, 360)
    assert round(work.share, 1) == 12.5  # 6 of 2 times 24 hours
    assert round(found[young.pk].share) == 25  # of the hour since it registered
    assert (work.success_rate, work_of([make_daemon("new")]).popitem()[1].success_rate) == (50, None)


def test_daemon_page_shows_its_history(owner, organization):
    daemon = make_daemon("builtin-0", hostname="host-7", engine="terraform 1.9")
    make_finished(daemon, owner, organization, ago=timedelta(days=2), ran=timedelta(seconds=30))
    job = make_finished(daemon, owner, organization, ago=timedelta(days=1), ran=timedelta(seconds=50), error="no")
    answer = browser(owner).get(f"/daemons/{daemon.pk}")
    text = text_of(answer)
    assert "Jobs, 30 days 2 1 failed" in text
    assert "Median job 40 s" in text
    assert "host-7" in text
    assert "Jobs finished on each of the last 30 days" in answer.content.decode()
    assert f"/jobs/{job.pk}" in answer.content.decode()


# ---------------------------------------------------------------------- keys
def test_key_pages_exist_for_users_who_manage_keys(owner, member, organization):
    actor = Actor.of(owner)
    own, _ = keys.create(actor, organization, name="own")
    keys.create(actor, make_organization(), name="elsewhere")
    keys.create(actor, None, name="everywhere")

    def names(user) -> set[str]:
        page = browser(user).get("/daemons/keys").content.decode()
        return {name for name in ("own", "elsewhere", "everywhere") if f"<strong>{name}</strong>" in page}

    administrator = make_user(organizations=(organization,), organization_roles=("organization-admin",))
    assert names(owner) == {"own", "elsewhere", "everywhere"}
    assert names(make_user(site_roles=("template-admin",))) == {"own", "elsewhere"}
    assert names(administrator) == {"own"}
    client = browser(member)
    assert "Keys" not in text_of(client.get("/daemons")).partition("Daemons They run")[2]
    for address in ("", "/new", f"/{own.pk}/revoke"):
        assert client.get(f"/daemons/keys{address}").status_code == 404
    assert client.post("/daemons/keys/new", {"name": "x"}).status_code == 404
    hidden = ProvisionerKey.objects.get(name="everywhere")
    assert browser(administrator).post(f"/daemons/keys/{hidden.pk}/revoke").status_code == 404


def test_key_is_shown_once_after_creation(owner, organization):
    client = browser(owner)
    given = {
        "name": "builder-1",
        "organization": str(organization.pk),
        "tags": "gpu=a100\n region = eu ",
        "lifetime": 0,
    }
    answer = client.post("/daemons/keys/new", given)
    key = ProvisionerKey.objects.get()
    assert answer["Cache-Control"] == "no-store"
    assert f"pdk-{key.pk.hex}-" in text_of(answer)
    assert (key.organization, key.tags) == (organization, TAGS | {"gpu": "a100", "region": "eu"})
    listed = text_of(client.get("/daemons/keys"))
    assert "builder-1" in listed
    assert "pdk-" not in listed
    taken = client.post("/daemons/keys/new", given)
    assert (taken.status_code, "already in use" in text_of(taken)) == (409, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tags": "gpu"}, "is not key=value."),
        ({"tags": "a=1\na=2"}, "is given twice."),
        ({"name": "not a name"}, "Must be at most 64 letters and digits"),
        ({"organization": "nonsense"}, "Select a valid choice."),
        ({"lifetime": "5"}, "Select a valid choice."),
    ],
)
def test_errors_are_shown_at_their_fields(change, said, owner, organization):
    given = {"name": "builder-1", "organization": str(organization.pk), "tags": "", "lifetime": "0"}
    answer = browser(owner).post("/daemons/keys/new", given | change)
    assert said in text_of(answer)
    assert not ProvisionerKey.objects.exists()


def test_only_owners_create_keys_for_all_organizations(owner, organization):
    given = {"name": "builder-1", "organization": "all", "tags": "", "lifetime": "0"}
    administrator = make_user(site_roles=("template-admin",))
    assert "All organizations" not in text_of(browser(administrator).get("/daemons/keys/new"))
    assert "Select a valid choice." in text_of(browser(administrator).post("/daemons/keys/new", given))
    browser(owner).post("/daemons/keys/new", given)
    assert ProvisionerKey.objects.get().organization is None


def test_revoked_key_leaves_the_list(owner, organization):
    key, _ = keys.create(Actor.of(owner), organization, name="builder-1")
    client = browser(owner)
    assert "Daemons with this key are rejected" in text_of(client.get(f"/daemons/keys/{key.pk}/revoke"))
    client.post(f"/daemons/keys/{key.pk}/revoke")
    client.get("/daemons/keys")  # shows the message
    assert "builder-1" not in text_of(client.get("/daemons/keys"))
    assert "builder-1" in text_of(client.get("/daemons/keys?show=revoked"))
    assert client.post(f"/daemons/keys/{key.pk}/revoke").status_code == 404
