"""Every route, one line each. Trailing slashes are removed before routing."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from coderproj.accounts.views import audit, groups, keys, organizations, sessions, users
from coderproj.api import openapi, system
from coderproj.api.views import RouteNotFound
from coderproj.console.pages import Home
from provisioning.views import daemons, jobs, parameters, remote
from provisioning.views import files as provisioning
from provisioning.views import keys as provisioner_keys
from templates_app.views import access, dry_runs, named_versions, statistics, template_versions, templates, versions

ORGANIZATION = "organizations/<str:organization>"
TEMPLATE = "templates/<str:template>"
VERSION = "templateversions/<str:templateversion>"
NAMED_VERSION = f"{ORGANIZATION}/templates/<str:templatename>/versions/<str:templateversionname>"
USER = "users/<str:user>"
REMOTE = "provisionerdaemons"
REMOTE_JOB = f"{REMOTE}/jobs/<str:job>"
DRY_RUN = f"{VERSION}/dry-run/<str:job_id>"

api = [
    # The documented endpoints. Routes are matched from the top, so the most requested ones come first.
    path(
        TEMPLATE, templates.TemplateViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"})
    ),
    path(VERSION, versions.VersionViewSet.as_view({"get": "retrieve", "patch": "partial_update"})),
    path(f"{VERSION}/logs", versions.VersionLogViewSet.as_view({"get": "list"})),
    path(f"{VERSION}/resources", versions.VersionViewSet.as_view({"get": "resources"})),
    path(f"{ORGANIZATION}/templates", templates.OrganizationTemplateViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{TEMPLATE}/versions", template_versions.TemplateVersionViewSet.as_view({"get": "list", "patch": "promote"})),
    path(f"{TEMPLATE}/daus", templates.TemplateViewSet.as_view({"get": "daily_users"})),
    path(
        f"{TEMPLATE}/versions/<str:templateversionname>",
        template_versions.TemplateVersionViewSet.as_view({"get": "retrieve"}),
    ),
    path(f"{VERSION}/cancel", versions.VersionViewSet.as_view({"patch": "cancel"})),
    path(f"{VERSION}/dry-run", dry_runs.DryRunViewSet.as_view({"post": "create"})),
    path(DRY_RUN, dry_runs.DryRunViewSet.as_view({"get": "retrieve"})),
    path(f"{DRY_RUN}/cancel", dry_runs.DryRunViewSet.as_view({"patch": "cancel"})),
    path(f"{DRY_RUN}/logs", dry_runs.DryRunLogViewSet.as_view({"get": "list"})),
    path(f"{DRY_RUN}/resources", dry_runs.DryRunViewSet.as_view({"get": "resources"})),
    path(f"{VERSION}/parameters", versions.VersionViewSet.as_view({"get": "parameters"})),
    path(f"{VERSION}/rich-parameters", versions.VersionViewSet.as_view({"get": "rich_parameters"})),
    path(f"{VERSION}/schema", versions.VersionViewSet.as_view({"get": "variables"})),
    path(f"{ORGANIZATION}/groups", groups.OrganizationGroupsView.as_view()),
    path(f"{ORGANIZATION}/templates/examples", templates.OrganizationTemplateViewSet.as_view({"get": "examples"})),
    path(
        f"{ORGANIZATION}/templates/<str:templatename>",
        templates.OrganizationTemplateViewSet.as_view({"get": "retrieve"}),
    ),
    path(f"{ORGANIZATION}/templateversions", named_versions.OrganizationVersionViewSet.as_view({"post": "create"})),
    path(
        f"{ORGANIZATION}/templateversions/<str:templateversionname>",
        named_versions.OrganizationVersionViewSet.as_view({"get": "retrieve"}),
    ),
    path(
        f"{ORGANIZATION}/templateversions/<str:templateversionname>/previous",
        named_versions.OrganizationVersionViewSet.as_view({"get": "previous"}),
    ),
    # Other endpoints that clients of the documented ones need.
    path("", system.RootView.as_view()),
    path("openapi.json", openapi.OpenApiView.as_view()),
    path("buildinfo", system.BuildInfoView.as_view()),
    path("files", provisioning.FilesView.as_view()),
    path("files/<str:file>", provisioning.FileView.as_view()),
    path("parameters/<str:scope>/<str:id>", parameters.ParametersView.as_view()),
    path("parameters/<str:scope>/<str:id>/<str:name>", parameters.ParameterView.as_view()),
    path("authcheck", access.AuthCheckViewSet.as_view({"post": "create"})),
    path("audit", audit.AuditView.as_view()),
    # Users and authentication.
    path("users", users.UsersView.as_view()),
    path("users/first", sessions.FirstUserView.as_view()),
    path("users/login", sessions.LoginView.as_view()),
    path("users/logout", sessions.LogoutView.as_view()),
    path("users/authmethods", system.AuthMethodsView.as_view()),
    path("users/roles", users.SiteRolesView.as_view()),
    path(USER, users.UserView.as_view()),
    path(f"{USER}/profile", users.ProfileView.as_view()),
    path(f"{USER}/password", users.PasswordView.as_view()),
    path(f"{USER}/status/suspend", users.SuspendView.as_view()),
    path(f"{USER}/status/activate", users.ActivateView.as_view()),
    path(f"{USER}/roles", users.UserRolesView.as_view()),
    path(f"{USER}/login-type", users.LoginTypeView.as_view()),
    path(f"{USER}/organizations", organizations.UserOrganizationsView.as_view()),
    path(f"{USER}/organizations/<str:organization>", organizations.UserOrganizationView.as_view()),
    path(f"{USER}/gitsshkey", keys.GitSSHKeyView.as_view()),
    path(f"{USER}/keys", keys.KeysView.as_view()),
    path(f"{USER}/keys/tokens", keys.TokensView.as_view()),
    path(f"{USER}/keys/tokens/<str:name>", keys.TokenByNameView.as_view()),
    path(f"{USER}/keys/<str:key>", keys.KeyView.as_view()),
    # Organizations, members and groups.
    path("organizations", organizations.OrganizationsView.as_view()),
    path(ORGANIZATION, organizations.OrganizationView.as_view()),
    path(f"{ORGANIZATION}/members", organizations.MembersView.as_view()),
    path(f"{ORGANIZATION}/members/roles", organizations.OrganizationRolesView.as_view()),
    path(f"{ORGANIZATION}/members/<str:user>", organizations.MemberView.as_view()),
    path(f"{ORGANIZATION}/members/<str:user>/roles", organizations.MemberRolesView.as_view()),
    path(f"{ORGANIZATION}/groups/<str:group>", groups.OrganizationGroupView.as_view()),
    path("groups/<str:group>", groups.GroupView.as_view()),
    path(f"{ORGANIZATION}/provisionerdaemons", daemons.OrganizationDaemonsView.as_view()),
    path(f"{ORGANIZATION}/provisionerjobs", jobs.OrganizationJobsView.as_view()),
    path("provisionerdaemons", daemons.ProvisionerDaemonsView.as_view()),
    path(f"{ORGANIZATION}/provisionerkeys", provisioner_keys.ProvisionerKeysView.as_view()),
    path(f"{ORGANIZATION}/provisionerkeys/<str:name>", provisioner_keys.ProvisionerKeyView.as_view()),
    # Daemons without database access, authenticated by a provisioner key.
    path(f"{REMOTE}/register", remote.RegisterView.as_view()),
    path(f"{REMOTE}/refresh", remote.RefreshView.as_view()),
    path(f"{REMOTE}/deregister", remote.DeregisterView.as_view()),
    path(f"{REMOTE}/acquire", remote.AcquireView.as_view()),
    path(f"{REMOTE}/wait", remote.WaitView.as_view()),
    path(f"{REMOTE_JOB}/archive", remote.ArchiveView.as_view()),
    path(f"{REMOTE_JOB}/heartbeat", remote.HeartbeatView.as_view()),
    path(f"{REMOTE_JOB}/logs", remote.LogsView.as_view()),
    path(f"{REMOTE_JOB}/readme", remote.ReadmeView.as_view()),
    path(f"{REMOTE_JOB}/schemas", remote.SchemasView.as_view()),
    path(f"{REMOTE_JOB}/complete", remote.CompleteView.as_view()),
    path(f"{REMOTE_JOB}/fail", remote.FailView.as_view()),
    path(f"{REMOTE_JOB}/canceled", remote.CanceledView.as_view()),
    path(f"{REMOTE_JOB}/release", remote.ReleaseView.as_view()),
    # Template endpoints that newer clients use.
    path("templates", templates.TemplateViewSet.as_view({"get": "list"})),
    path(f"{TEMPLATE}/acl", access.AccessListViewSet.as_view({"get": "retrieve", "patch": "partial_update"})),
    path(NAMED_VERSION, named_versions.NamedVersionViewSet.as_view({"get": "retrieve"})),
    path(f"{NAMED_VERSION}/previous", named_versions.NamedVersionViewSet.as_view({"get": "previous"})),
    path(f"{VERSION}/archive", versions.VersionViewSet.as_view({"post": "archive"})),
    path(f"{VERSION}/unarchive", versions.VersionViewSet.as_view({"post": "unarchive"})),
    path(f"{VERSION}/presets", versions.VersionViewSet.as_view({"get": "presets"})),
    # Facts about the deployment, which clients request.
    path("entitlements", system.EntitlementsView.as_view()),
    path("updatecheck", system.UpdateCheckView.as_view()),
    path("appearance", system.AppearanceView.as_view()),
    path("experiments", system.ExperimentsView.as_view()),
    path("applications/host", system.ApplicationsHostView.as_view()),
    path("replicas", system.ReplicasView.as_view()),
    path("licenses", system.LicensesView.as_view()),
    path("csp/reports", system.CspReportsView.as_view()),
    path("workspaces", statistics.StatisticsViewSet.as_view({"get": "workspaces"})),
    path("insights/daus", statistics.StatisticsViewSet.as_view({"get": "daily_users"})),
    path("workspace-quota/<str:user>", statistics.StatisticsViewSet.as_view({"get": "workspace_quota"})),
]

admin.autodiscover()

urlpatterns = [
    path("api/v2/", include(api)),  # first, because it is requested most
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg")),
    path("healthz", system.healthz),
    path("readyz", system.readyz),
    path("swagger", openapi.swagger),
    path("api/v2", system.RootView.as_view(schema=None)),
    re_path(r"^api(?:/.*)?$", RouteNotFound.as_view()),
    path("", Home.as_view(), name="home"),
    path("", include("coderproj.accounts.pages.urls")),
    path("", include("provisioning.pages.urls")),
    path("", include("templates_app.pages.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "coderproj.console.errors.bad_request"
handler403 = "coderproj.console.errors.permission_denied"
handler404 = "coderproj.console.errors.page_not_found"
handler500 = "coderproj.console.errors.server_error"
