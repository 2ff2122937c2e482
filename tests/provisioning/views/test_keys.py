"""Keys of daemons: create, list and revoke, and the stored data."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from coderproj.identity.models import AuditLog
from provisioning import keys
from provisioning.models import ProvisionerKey
from tests.api import ApiClient, fields_of
from tests.factories import make_organization, make_provisioner_key, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def org():
    return make_organization("acme", is_default=True)


@pytest.fixture
def owner(org):
    return make_user("owner", organizations=(org,), site_roles=("owner",))


@pytest.fixture
def path(org):
    return f"organizations/{org.pk}/provisionerkeys"


def test_a_key_is_shown_once_and_only_its_hash_is_stored(owner, org, path):
    api = ApiClient(owner)
    answer = api.post(path, {"name": "builder-1", "tags": {"gpu": "true"}, "lifetime_seconds": 3600})
    assert answer.status_code == 201
    secret = answer.body["key"].rpartition("-")[2]
    (row,) = api.get(path).body
    assert (row["name"], row["tags"]) == ("builder-1", {"scope": "organization", "gpu": "true"})
    assert (row["organization"], row["created_by"]) == (str(org.pk), str(owner.pk))
    assert secret not in api.get(path).raw.decode()
    stored = ProvisionerKey.objects.get()
    assert len(stored.hashed_secret) == 32
    assert secret not in str(ProvisionerKey.objects.values())
    assert secret not in str(list(AuditLog.objects.values()))
    assert keys.authenticate(answer.body["key"]).organization_id == org.pk


@pytest.mark.parametrize(
    ("roles", "status"),
    [
        ({"site_roles": ("owner",)}, 201),
        ({"site_roles": ("template-admin",)}, 201),
        ({"organization_roles": ("organization-admin",)}, 201),
        ({"site_roles": ("user-admin",)}, 403),
        ({"site_roles": ("auditor",)}, 403),
        ({}, 403),
    ],
)
def test_which_users_may_create_keys(org, path, roles, status):
    api = ApiClient(make_user(organizations=(org,), **roles))
    assert api.post(path, {"name": "key"}).status_code == status
    assert api.get(path).status_code == (200 if status == 201 else status)
    if status == 201:
        assert api.delete(f"{path}/key").status_code == 204
    else:
        make_provisioner_key(org, name="other")
        assert api.delete(f"{path}/other").status_code == status


def test_keys_are_not_revealed_to_other_users(org, path):
    elsewhere = make_organization()
    api = ApiClient(make_user(organizations=(elsewhere,), organization_roles=("organization-admin",)))
    make_provisioner_key(org, name="other")
    assert {api.get(path).status_code, api.post(path, {"name": "key"}).status_code} == {404}
    assert api.delete(f"{path}/other").status_code == 404
    assert api.get(f"organizations/{elsewhere.pk}/provisionerkeys").body == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "a b"}, ["name"]),
        ({"name": "a" * 65}, ["name"]),
        ({"name": "a", "tags": {"k": "\x01"}}, ["tags"]),
        ({"name": "a", "tags": {"k": "v" * 129}}, ["tags"]),
        ({"name": "a", "tags": {str(n): "v" for n in range(17)}}, ["tags"]),
        ({"name": "a", "tags": {"k": 1}}, ["tags.k"]),
        ({"name": "a", "lifetime_seconds": -1}, ["lifetime_seconds"]),
        ({"name": "a", "lifetime_seconds": 10**12}, ["lifetime_seconds"]),
    ],
)
def test_invalid_bodies_are_rejected(owner, path, body, fields):
    answer = ApiClient(owner).post(path, body)
    assert (answer.status_code, fields_of(answer)) == (400, fields)


def test_names_are_unique_among_valid_keys(owner, org, path):
    api = ApiClient(owner)
    assert api.post(path, {"name": "key"}).status_code == 201
    assert api.post(path, {"name": "KEY"}).status_code == 409
    assert api.delete(f"organizations/{org.pk}/provisionerkeys/key").status_code == 204
    assert api.delete(f"{path}/key").status_code == 404
    assert api.post(path, {"name": "key"}).status_code == 201
    assert ProvisionerKey.objects.count() == 2


def test_revoked_and_expired_keys_are_rejected(owner, org, path):
    key = make_provisioner_key(org, name="key")
    assert keys.authenticate(key).organization_id == org.pk
    assert ProvisionerKey.objects.get().last_used is not None
    ProvisionerKey.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(keys.KeyNotAccepted):
        keys.authenticate(key)
    ProvisionerKey.objects.update(expires_at=None)
    ApiClient(owner).delete(f"{path}/key")
    with pytest.raises(keys.KeyNotAccepted):
        keys.authenticate(key)


def test_creating_and_revoking_is_in_the_audit_log(owner, path):
    api = ApiClient(owner)
    api.post(path, {"name": "key"})
    api.delete(f"{path}/key")
    rows = list(AuditLog.objects.filter(resource_type="provisioner_key").order_by("time"))
    assert [(row.action, row.resource_target, row.username) for row in rows] == [
        ("create", "key", "owner"),
        ("delete", "key", "owner"),
    ]
    assert rows[0].diff["hashed_secret"] == {"old": "", "new": "(secret)", "secret": True}
    assert set(rows[1].diff) == {"revoked_at"}


def test_sessions_and_keys_are_not_interchangeable(owner):
    api = ApiClient(owner)
    key = make_provisioner_key()
    assert api.post("provisionerdaemons/register", {"name": "d", "provisioners": ["echo"]}).status_code == 401
    nobody = ApiClient()
    for header in ("HTTP_CODER_PROVISIONER_KEY", "HTTP_CODER_SESSION_TOKEN"):
        assert nobody.get("users/me", **{header: key}).status_code == 401
    answer = nobody.post("provisionerdaemons/refresh", {}, HTTP_CODER_SESSION_TOKEN=key)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Coder-Provisioner-Key")


def test_the_admin_revokes_keys(client, owner):
    make_provisioner_key(name="key")
    client.force_login(owner)
    row = ProvisionerKey.objects.get()
    url = reverse("admin:provisioning_provisionerkey_changelist")
    assert client.post(url, {"action": "revoke", "_selected_action": [str(row.pk)]}).status_code == 302
    row.refresh_from_db()
    assert row.revoked_at is not None
    client.force_login(make_user(site_roles=("auditor",)))
    make_provisioner_key(name="second")
    second = ProvisionerKey.objects.get(name="second")
    client.post(url, {"action": "revoke", "_selected_action": [str(second.pk)]})
    second.refresh_from_db()
    assert second.revoked_at is None


# ---------------------------------------------------------------------- the command
def run(*arguments):
    output = io.StringIO()
    call_command("provisionerkeys", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_creates_lists_and_revokes(owner, org, tmp_path):
    key = run("create", "builder", "--tag", "gpu=true", "--lifetime", "30d").strip()
    assert keys.authenticate(key).tags == {"scope": "organization", "gpu": "true"}
    path = tmp_path / "key"
    assert "pdk-" not in run("create", "everywhere", "--all-organizations", "--output", str(path))
    assert keys.authenticate(path.read_text().strip()).organization_id is None
    assert path.stat().st_mode & 0o077 == 0
    assert [row["name"] for row in json.loads(run("--json", "list"))] == ["builder"]
    assert "everywhere" in run("list", "--all-organizations")
    assert run("revoke", "builder") == "Revoked builder.\n"
    with pytest.raises(keys.KeyNotAccepted):
        keys.authenticate(key)


def test_the_command_has_the_same_rules_as_the_api(owner, org, tmp_path):
    make_user("admin", organizations=(org,), organization_roles=("organization-admin",))
    with pytest.raises(CommandError, match="Only owners"):
        run("--as", "admin", "create", "key", "--all-organizations")
    with pytest.raises(CommandError):
        run("create", "key", "--output", str(tmp_path))
    with pytest.raises(CommandError):
        run("revoke", "nothing")
    assert not ProvisionerKey.objects.exists()
