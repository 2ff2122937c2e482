"""Guards that loop over the registries of routes, models and admin classes."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from coderproj.api.permissions import Public, SignedIn
from coderproj.api.views import ApiView
from coderproj.api.viewsets import ApiViewSet
from coderproj.identity import tokens
from provisioning.views.key_authentication import KeyAuthentication, WithDaemonKey
from templates_app.agents.views.authentication import AgentAuthentication, WithAgentToken
from tests.api import ApiClient
from tests.factories import make_organization, make_template, make_user
from tests.routes import METHODS, Route, api_routes

ROUTES = api_routes()
CALLS = [(route, method) for route in ROUTES for method in route.methods]
# Routes that need no sign-in. The docstring of the action gives the reason.
PUBLIC = {
    "",
    "appearance",
    "buildinfo",
    "csp/reports",
    "entitlements",
    "openapi.json",
    "updatecheck",
    "users/authmethods",
    "users/first",
    "users/login",
    "workspaceagents/aws-instance-identity",
    "workspaceagents/azure-instance-identity",
    "workspaceagents/google-instance-identity",
}
APP_LABELS = ("identity", "provisioning", "templates_app", "workspaces", "agents")
# Credentials that are not those of users.
OTHER_CREDENTIALS = {WithDaemonKey: [KeyAuthentication], WithAgentToken: [AgentAuthentication]}
# The admin does not support tables with a composite primary key: the page of a job shows its log. The ended keys of
# suspended users, the states of workspaces, which are encrypted, and the keys of connected nodes have nothing to show.
# Workers count statistics from what the admin shows elsewhere; pages and the API show the results.
OF_STATISTICS = {
    *("StatisticsProgress", "TemplateStatistics", "Insights"),
    *("DailyUser", "DailyCount", "DailyRuns", "JobTime", "AgentTime", "ParameterUse"),
}
WITHOUT_ADMIN = {"FilePiece", "ProvisionerJobLog", "SuspendedKey", "BuildState", "RelayPeer", *OF_STATISTICS}


def test_routes_are_found():
    assert len(ROUTES) > 30


@pytest.mark.promise("S18")
@pytest.mark.parametrize(("route", "method"), CALLS, ids=str)
def test_every_method_of_every_route_declares_who_may_call_it(route: Route, method: str, measured):
    measured.add(routes=1)
    view = route.prepared(method)
    (permission,) = map(type, view.get_permissions())
    assert permission in {SignedIn, Public, *OTHER_CREDENTIALS}
    credentials = [type(one) for one in view.get_authenticators()]
    for other, needed in OTHER_CREDENTIALS.items():
        assert (permission is other) == (credentials == needed)
    assert (permission is Public) == (route.pattern in PUBLIC)
    assert (permission is Public) == (credentials == [])
    if permission is Public:
        assert "public" in route.docstring(method).lower()
    assert view.get_throttles()


def test_every_route_answers_a_method():
    assert [route.pattern for route in ROUTES if not route.methods] == []
    assert {method for route in ROUTES for method in route.methods} == set(METHODS)


def test_every_action_of_a_viewset_has_a_route():
    """An action without a route would be unused, and no guard would check it."""
    routed: dict[type, set[str]] = {}
    for route in ROUTES:
        if issubclass(route.view, ApiViewSet):
            routed.setdefault(route.view, set()).update(route.actions.values())
    for view, actions in routed.items():
        declared = {*view.body_classes, *view.serializer_classes, *getattr(view, "compiled_reads", {})}
        described = {name for name in dir(view) if "schema" in getattr(getattr(view, name, None), "kwargs", ())}
        assert described == actions, view
        assert declared <= actions, view


BAD_TOKENS = {
    "none": None,
    "empty": "",
    "malformed": "nonsense",
    "two dashes": "aaaaaaaaaa-bbbbbbbbbbb-bbbbbbbbbb",
    "unknown": f"{'a' * 10}-{'b' * 22}",
    "newline": f"{'a' * 10}-{'b' * 22}\n",
    "other digits": "\N{ARABIC-INDIC DIGIT ONE}" * 10 + "-" + "b" * 22,
    "sql": "'; DROP TABLE identity_user; --",
}


@pytest.mark.promise("S2")
@pytest.mark.django_db
@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_every_route_requires_a_valid_token(kind, measured):
    token = BAD_TOKENS[kind]
    api = ApiClient()
    extra = {} if token is None else {"HTTP_CODER_SESSION_TOKEN": token}
    statuses = {
        (method, route.pattern): api.call(method, route.path(), **extra).status_code
        for route in ROUTES
        if route.pattern not in PUBLIC
        for method in route.methods
    }
    measured.add(requests=len(statuses), not_401=sum(status != 401 for status in statuses.values()))
    assert {status for status in statuses.values() if status != 401} == set(), statuses


@pytest.mark.promise("S2", "S7")
@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["wrong secret", "expired", "revoked", "suspended", "deleted"])
def test_wrong_expired_or_revoked_token_is_401(kind):
    from datetime import UTC, datetime, timedelta

    user = make_user(site_roles=("owner",))
    key, token = tokens.issue(user=user)
    extra = {"HTTP_CODER_SESSION_TOKEN": token}
    api = ApiClient()
    assert api.get("organizations", **extra).status_code == 200
    match kind:
        case "wrong secret":
            extra["HTTP_CODER_SESSION_TOKEN"] = token[:-1] + ("a" if token[-1] != "a" else "b")
        case "expired":
            key.expires_at = datetime.now(UTC) - timedelta(seconds=1)
            key.save()
        case "revoked":
            key.delete()
        case "suspended":
            user.status = "suspended"
            user.save()
        case "deleted":
            user.deleted = True
            user.save()
    answer = api.get("organizations", **extra)
    assert (answer.status_code, bool(answer.body["message"])) == (401, True)


@pytest.mark.django_db
def test_key_of_narrow_scope_reads_nothing():
    organization = make_organization(is_default=True)
    user = make_user(organizations=(organization,), site_roles=("owner",))
    template = make_template(user=user, organization=organization)
    _, token = tokens.issue(user=user, scope="application_connect")
    extra = {"HTTP_CODER_SESSION_TOKEN": token}
    api = ApiClient()
    for path in (
        f"templates/{template.pk}",
        f"templateversions/{template.active_version_id}",
        f"templateversions/{template.active_version_id}/logs",
        f"templateversions/{template.active_version_id}/resources",
    ):
        assert api.get(path, **extra).status_code == 404
    assert api.call("POST", "files", raw=bytes(1024), content_type="application/x-tar", **extra).status_code == 403


def test_every_view_derives_from_api_view():
    assert all(issubclass(route.view, ApiView) for route in ROUTES)


# ---------------------------------------------------------------------- admin
def test_every_table_is_in_the_admin():
    missing = [
        model.__name__
        for label in APP_LABELS
        for model in apps.get_app_config(label).get_models()
        if model not in admin.site._registry and model.__name__ not in WITHOUT_ADMIN
    ]
    assert missing == []


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["owner", "auditor"])
def test_every_admin_page_opens(client, role):
    organization = make_organization(is_default=True)
    user = make_user(organizations=(organization,), site_roles=(role,))
    template = make_template(user=user, organization=organization)
    client.force_login(user)
    assert client.get(reverse("admin:index")).status_code == 200
    for model in admin.site._registry:
        if model._meta.app_label not in APP_LABELS:
            continue
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert client.get(reverse(f"{base}_changelist"), {"q": "x"}).status_code == 200, model
        row = model._default_manager.first()
        if row is not None:
            assert client.get(reverse(f"{base}_change", args=[row.pk])).status_code == 200, model
    assert template.name in client.get(reverse("admin:templates_app_template_changelist")).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("role", [None, "member-without-role", "template-admin", "user-admin"])
def test_other_users_cannot_enter_the_admin(client, role):
    if role:
        client.force_login(make_user(site_roles=() if role.startswith("member") else (role,)))
    answer = client.get(reverse("admin:index"))
    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]


@pytest.mark.django_db
def test_machine_owned_rows_cannot_be_changed_in_the_admin(client):
    organization = make_organization(is_default=True)
    owner = make_user(organizations=(organization,), site_roles=("owner",))
    template = make_template(user=owner, organization=organization)
    client.force_login(owner)
    job = template.active_version.job
    url = reverse("admin:provisioning_provisionerjob_change", args=[job.pk])
    assert client.post(url, {"error": "edited"}).status_code == 403
    assert client.post(reverse("admin:provisioning_provisionerjob_delete", args=[job.pk])).status_code == 403
    assert client.get(reverse("admin:provisioning_provisionerjob_add")).status_code == 403
    job.refresh_from_db()
    assert job.error == ""
