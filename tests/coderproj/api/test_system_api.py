"""Endpoints about the deployment."""

import pytest

from coderproj import __version__
from provisioning.models import ProvisionerDaemon
from tests.api import ApiClient
from tests.factories import make_organization, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    return ApiClient(make_user("ada", organizations=(make_organization("acme", is_default=True),)))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("appearance", {"logo_url": "", "service_banner": {"enabled": False}}),
        ("experiments", []),
        ("applications/host", {"host": ""}),
        ("replicas", []),
        ("licenses", []),
        ("provisionerdaemons", []),
        ("organizations/acme/provisionerdaemons", []),
        ("workspace-quota/me", {"credits_consumed": 0, "budget": -1}),
        ("users/authmethods", {"password": True, "github": False, "oidc": False}),
    ],
)
def test_constant_responses(api, path, body):
    answer = api.get(path)
    assert (answer.status_code, answer.body) == (200, body)


def test_endpoints_without_sign_in():
    api = ApiClient()
    build = api.get("buildinfo").body
    assert list(build) == ["external_url", "version"]
    assert build["version"] == f"v0.15.3+{__version__}"
    assert api.get("updatecheck").body == {"current": True, "version": build["version"], "url": build["external_url"]}
    assert api.get("").status_code == api.get("/").status_code == 200


def test_entitlements_list_the_features():
    body = ApiClient().get("entitlements").body
    assert (body["warnings"], body["errors"], body["has_license"], body["trial"]) == ([], [], True, False)
    enabled = {name for name, feature in body["features"].items() if feature["enabled"]}
    assert enabled == {
        "access_control",
        "audit_log",
        "external_provisioner_daemons",
        "multiple_organizations",
        "template_rbac",
        "user_role_management",
    }
    assert {feature["entitlement"] for feature in body["features"].values()} == {"entitled", "not_entitled"}


@pytest.mark.parametrize("raw", [b"{}", b'{"csp-report": {"blocked-uri": "x\\ny"}}', b"[]", b'{"csp-report": 7}'])
def test_csp_reports_are_accepted(raw):
    answer = ApiClient().call("POST", "csp/reports", raw=raw, content_type="application/csp-report")
    assert answer.status_code == 200


def test_health(client):
    assert client.get("/healthz").content == client.get("/readyz").content == b"OK"


def test_list_of_online_daemons(api):
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    facts = {"provisioners": ["terraform"], "tags": {"scope": "organization"}, "hostname": "secret-host"}
    ProvisionerDaemon.objects.create(name="here", last_seen_at=now, **facts)
    ProvisionerDaemon.objects.create(name="silent", last_seen_at=now - timedelta(minutes=5), **facts)
    answer = api.get("provisionerdaemons")
    (daemon,) = answer.body
    assert (daemon["name"], daemon["tags"], daemon["updated_at"]["Valid"]) == ("here", {"scope": "organization"}, True)
    assert b"secret-host" not in answer.raw
    assert api.get("organizations/nothing/provisionerdaemons").status_code == 404


def test_quota_is_the_sum_of_the_groups(api):
    from coderproj.identity.models import Group, GroupMembership, Organization, User

    organization, user = Organization.objects.get(), User.objects.get()
    Group.objects.filter(pk=organization.pk).update(quota_allowance=1)
    for allowance in (2, 4):
        group = Group.objects.create(organization=organization, name=str(allowance), quota_allowance=allowance)
        GroupMembership.objects.create(group=group, user=user)
    elsewhere = Group.objects.create(organization=make_organization(), name="left", quota_allowance=100)
    GroupMembership.objects.create(group=elsewhere, user=user)
    assert api.get("workspace-quota/me").body == {"credits_consumed": 0, "budget": 7}
    other_member = ApiClient(make_user(organizations=(organization,)))
    assert other_member.get("workspace-quota/ada").status_code == 404
