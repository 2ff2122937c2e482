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
from templates_app.agents.views import agents, binaries, identity, own
from templates_app.views import access, dry_runs, named_versions, statistics, template_versions, templates, versions
from templates_app.workspaces.views import builds, quota, watch, workspaces

ORGANIZATION = "organizations/<str:organization>"
TEMPLATE = "templates/<str:template>"
VERSION = "templateversions/<str:templateversion>"
NAMED_VERSION = f"{ORGANIZATION}/templates/<str:templatename>/versions/<str:templateversionname>"
USER = "users/<str:user>"
REMOTE = "provisionerdaemons"
REMOTE_JOB = f"{REMOTE}/jobs/<str:job>"
DRY_RUN = f"{VERSION}/dry-run/<str:job_id>"
WORKSPACE = "workspaces/<str:workspace>"
AGENT = "workspaceagents/<str:workspaceagent>"
OWN_AGENT = "workspaceagents/me"
BUILD = "workspacebuilds/<str:workspacebuild>"
NAMED_WORKSPACE = f"{USER}/workspace/<str:workspacename>"

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
    path(f"{TEMPLATE}/versions/archive", template_versions.TemplateVersionViewSet.as_view({"post": "archive"})),
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
    path(f"{ORGANIZATION}/groups", groups.OrganizationGroupViewSet.as_view({"get": "list", "post": "create"})),
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
    # Workspaces and their builds.
    path("workspaces", workspaces.WorkspaceViewSet.as_view({"get": "list"})),
    path(WORKSPACE, workspaces.WorkspaceViewSet.as_view({"get": "retrieve", "patch": "partial_update"})),
    path(f"{WORKSPACE}/builds", builds.WorkspaceBuildsViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{WORKSPACE}/autostart", workspaces.WorkspaceViewSet.as_view({"put": "set_schedule"})),
    path(f"{WORKSPACE}/ttl", workspaces.WorkspaceViewSet.as_view({"put": "set_time_to_live"})),
    path(f"{WORKSPACE}/extend", workspaces.WorkspaceViewSet.as_view({"put": "extend"})),
    path(f"{WORKSPACE}/watch", watch.WatchViewSet.as_view({"get": "watch"})),
    path(BUILD, builds.BuildViewSet.as_view({"get": "retrieve"})),
    path(f"{BUILD}/cancel", builds.BuildViewSet.as_view({"patch": "cancel"})),
    path(f"{BUILD}/logs", builds.BuildLogViewSet.as_view({"get": "list"})),
    path(f"{BUILD}/resources", builds.BuildViewSet.as_view({"get": "resources"})),
    path(f"{BUILD}/parameters", builds.BuildViewSet.as_view({"get": "parameters"})),
    path(f"{BUILD}/state", builds.BuildViewSet.as_view({"get": "state"})),
    # Agents, for themselves: authenticated by their tokens.
    path(f"{OWN_AGENT}/metadata", own.OwnAgentViewSet.as_view({"get": "manifest"})),
    path(f"{OWN_AGENT}/version", own.OwnAgentViewSet.as_view({"post": "store_version"})),
    path(f"{OWN_AGENT}/app-health", own.OwnAgentViewSet.as_view({"post": "store_healths"})),
    path(f"{OWN_AGENT}/report-lifecycle", own.OwnAgentViewSet.as_view({"post": "store_lifecycle"})),
    path(f"{OWN_AGENT}/report-stats", own.OwnAgentViewSet.as_view({"post": "report"})),
    path(f"{OWN_AGENT}/presence", own.OwnAgentViewSet.as_view({"post": "presence"})),
    path(f"{OWN_AGENT}/coordinate", own.OwnAgentViewSet.as_view({"get": "coordinate"})),
    path(f"{OWN_AGENT}/gitauth", own.OwnAgentViewSet.as_view({"get": "git_credentials"})),
    path(f"{OWN_AGENT}/gitsshkey", own.OwnAgentViewSet.as_view({"get": "git_key"})),
    path("workspaceagents/azure-instance-identity", identity.InstanceIdentityViewSet.as_view({"post": "azure"})),
    path("workspaceagents/aws-instance-identity", identity.InstanceIdentityViewSet.as_view({"post": "aws"})),
    path("workspaceagents/google-instance-identity", identity.InstanceIdentityViewSet.as_view({"post": "google"})),
    # Agents, for users.
    path(AGENT, agents.AgentViewSet.as_view({"get": "retrieve"})),
    path(f"{AGENT}/connection", agents.AgentViewSet.as_view({"get": "connection"})),
    path(f"{AGENT}/coordinate", agents.AgentViewSet.as_view({"get": "coordinate"})),
    path(f"{AGENT}/pty", agents.AgentViewSet.as_view({"get": "terminal"})),
    path(f"{AGENT}/listening-ports", agents.AgentViewSet.as_view({"get": "listening_ports"})),
    path(NAMED_WORKSPACE, workspaces.OwnedWorkspaceViewSet.as_view({"get": "retrieve"})),
    path(f"{NAMED_WORKSPACE}/builds/<str:buildnumber>", builds.OwnedBuildViewSet.as_view({"get": "retrieve"})),
    path(
        f"{ORGANIZATION}/members/<str:user>/workspaces",
        workspaces.OwnedWorkspaceViewSet.as_view({"post": "create"}),
    ),
    path(f"{USER}/workspaces", workspaces.OwnedWorkspaceViewSet.as_view({"post": "create_for_user"})),
    # Other endpoints that clients of the documented ones need.
    path("", system.DeploymentViewSet.as_view({"get": "root"})),
    path("openapi.json", openapi.OpenApiView.as_view()),
    path("buildinfo", system.DeploymentViewSet.as_view({"get": "build_info"})),
    path("files", provisioning.FileViewSet.as_view({"post": "create"})),
    path("files/<str:file>", provisioning.FileViewSet.as_view({"get": "retrieve"})),
    path("parameters/<str:scope>/<str:id>", parameters.ParameterViewSet.as_view({"get": "list", "post": "create"})),
    path("parameters/<str:scope>/<str:id>/<str:name>", parameters.ParameterViewSet.as_view({"delete": "destroy"})),
    path("authcheck", access.AuthCheckViewSet.as_view({"post": "create"})),
    path("audit", audit.AuditLogViewSet.as_view({"get": "list"})),
    # Users and authentication.
    path("users", users.UserViewSet.as_view({"get": "list", "post": "create"})),
    path("users/first", sessions.SignInViewSet.as_view({"get": "first_user", "post": "create_first_user"})),
    path("users/login", sessions.SignInViewSet.as_view({"post": "log_in"})),
    path("users/logout", sessions.SessionViewSet.as_view({"post": "log_out"})),
    path("users/authmethods", system.DeploymentViewSet.as_view({"get": "auth_methods"})),
    path("users/roles", users.UserViewSet.as_view({"get": "site_roles"})),
    path(USER, users.UserViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
    path(f"{USER}/profile", users.UserViewSet.as_view({"put": "update_profile"})),
    path(f"{USER}/password", users.UserViewSet.as_view({"put": "change_password"})),
    path(f"{USER}/status/suspend", users.UserViewSet.as_view({"put": "suspend"})),
    path(f"{USER}/status/activate", users.UserViewSet.as_view({"put": "activate"})),
    path(f"{USER}/roles", users.UserViewSet.as_view({"get": "roles", "put": "update_roles"})),
    path(f"{USER}/login-type", users.UserViewSet.as_view({"get": "login_type"})),
    path(f"{USER}/organizations", organizations.UserOrganizationViewSet.as_view({"get": "list"})),
    path(
        f"{USER}/organizations/<str:organization>", organizations.UserOrganizationViewSet.as_view({"get": "retrieve"})
    ),
    path(f"{USER}/gitsshkey", keys.GitSSHKeyViewSet.as_view({"get": "retrieve", "put": "regenerate"})),
    path(f"{USER}/keys", keys.KeyViewSet.as_view({"post": "create"})),
    path(f"{USER}/keys/tokens", keys.TokenViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{USER}/keys/tokens/tokenconfig", keys.TokenViewSet.as_view({"get": "limits"})),
    path(f"{USER}/keys/tokens/<str:name>", keys.TokenViewSet.as_view({"get": "retrieve"})),
    path(f"{USER}/keys/<str:key>", keys.KeyViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
    # Organizations, members and groups.
    path("organizations", organizations.OrganizationViewSet.as_view({"get": "list", "post": "create"})),
    path(
        ORGANIZATION,
        organizations.OrganizationViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(f"{ORGANIZATION}/members", organizations.MemberViewSet.as_view({"get": "list"})),
    path(f"{ORGANIZATION}/members/roles", organizations.OrganizationViewSet.as_view({"get": "roles"})),
    path(
        f"{ORGANIZATION}/members/<str:user>",
        organizations.MemberViewSet.as_view({"get": "retrieve", "post": "create", "delete": "destroy"}),
    ),
    path(
        f"{ORGANIZATION}/members/<str:user>/roles",
        organizations.MemberViewSet.as_view({"get": "roles", "put": "update_roles"}),
    ),
    path(f"{ORGANIZATION}/groups/<str:group>", groups.OrganizationGroupViewSet.as_view({"get": "retrieve"})),
    path("groups", groups.GroupViewSet.as_view({"get": "list"})),
    path(
        "groups/<str:group>",
        groups.GroupViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(f"{ORGANIZATION}/provisionerdaemons", daemons.ProvisionerDaemonViewSet.as_view({"get": "of_organization"})),
    path(f"{ORGANIZATION}/provisionerjobs", jobs.OrganizationJobViewSet.as_view({"get": "list"})),
    path(f"{ORGANIZATION}/provisionerjobs/<str:job>", jobs.OrganizationJobViewSet.as_view({"get": "retrieve"})),
    path("provisionerdaemons", daemons.ProvisionerDaemonViewSet.as_view({"get": "list"})),
    path(
        f"{ORGANIZATION}/provisionerkeys",
        provisioner_keys.ProvisionerKeyViewSet.as_view({"get": "list", "post": "create"}),
    ),
    path(
        f"{ORGANIZATION}/provisionerkeys/<str:name>",
        provisioner_keys.ProvisionerKeyViewSet.as_view({"delete": "destroy"}),
    ),
    # Daemons without database access, authenticated by a provisioner key.
    path(f"{REMOTE}/register", remote.RemoteDaemonViewSet.as_view({"post": "register"})),
    path(f"{REMOTE}/refresh", remote.RemoteDaemonViewSet.as_view({"post": "refresh"})),
    path(f"{REMOTE}/deregister", remote.RemoteDaemonViewSet.as_view({"post": "deregister"})),
    path(f"{REMOTE}/acquire", remote.RemoteDaemonViewSet.as_view({"post": "acquire"})),
    path(f"{REMOTE}/wait", remote.RemoteDaemonViewSet.as_view({"post": "wait"})),
    path(f"{REMOTE_JOB}/archive", remote.RemoteJobViewSet.as_view({"get": "archive"})),
    path(f"{REMOTE_JOB}/heartbeat", remote.RemoteJobViewSet.as_view({"post": "heartbeat"})),
    path(f"{REMOTE_JOB}/logs", remote.RemoteJobViewSet.as_view({"post": "logs"})),
    path(f"{REMOTE_JOB}/readme", remote.RemoteJobViewSet.as_view({"post": "readme"})),
    path(f"{REMOTE_JOB}/state", remote.RemoteJobViewSet.as_view({"post": "state"})),
    path(f"{REMOTE_JOB}/schemas", remote.RemoteJobViewSet.as_view({"post": "schemas"})),
    path(f"{REMOTE_JOB}/cost", remote.RemoteJobViewSet.as_view({"post": "cost"})),
    path(f"{REMOTE_JOB}/complete", remote.RemoteJobViewSet.as_view({"post": "complete"})),
    path(f"{REMOTE_JOB}/fail", remote.RemoteJobViewSet.as_view({"post": "fail"})),
    path(f"{REMOTE_JOB}/canceled", remote.RemoteJobViewSet.as_view({"post": "canceled"})),
    path(f"{REMOTE_JOB}/release", remote.RemoteJobViewSet.as_view({"post": "release"})),
    # Template endpoints that newer clients use.
    path("templates", templates.TemplateViewSet.as_view({"get": "list"})),
    path(f"{TEMPLATE}/acl", access.AccessListViewSet.as_view({"get": "retrieve", "patch": "partial_update"})),
    path(NAMED_VERSION, named_versions.NamedVersionViewSet.as_view({"get": "retrieve"})),
    path(f"{NAMED_VERSION}/previous", named_versions.NamedVersionViewSet.as_view({"get": "previous"})),
    path(f"{VERSION}/archive", versions.VersionViewSet.as_view({"post": "archive"})),
    path(f"{VERSION}/unarchive", versions.VersionViewSet.as_view({"post": "unarchive"})),
    path(f"{VERSION}/external-auth", versions.VersionViewSet.as_view({"get": "external_auth"})),
    path(f"{VERSION}/presets", versions.VersionViewSet.as_view({"get": "presets"})),
    # Facts about the deployment, which clients request.
    path("entitlements", system.DeploymentViewSet.as_view({"get": "entitlements"})),
    path("updatecheck", system.DeploymentViewSet.as_view({"get": "update_check"})),
    path("appearance", system.DeploymentViewSet.as_view({"get": "appearance"})),
    path("experiments", system.ParityViewSet.as_view({"get": "experiments"})),
    path("applications/host", system.ParityViewSet.as_view({"get": "applications_host"})),
    path("replicas", system.ParityViewSet.as_view({"get": "replicas"})),
    path("licenses", system.ParityViewSet.as_view({"get": "licenses"})),
    path("csp/reports", system.DeploymentViewSet.as_view({"post": "report_csp_violation"})),
    path("insights/daus", statistics.StatisticsViewSet.as_view({"get": "daily_users"})),
    path("workspace-quota/<str:user>", quota.QuotaViewSet.as_view({"get": "retrieve"})),
    path(f"{ORGANIZATION}/members/<str:user>/workspace-quota", quota.QuotaViewSet.as_view({"get": "of_member"})),
]

admin.autodiscover()

urlpatterns = [
    path("api/v2/", include(api)),  # first, because it is requested most
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg")),
    path("healthz", system.healthz),
    path("readyz", system.readyz),
    path("swagger", openapi.swagger),
    path("api/v2", system.DeploymentViewSet.as_view({"get": "root"}, schema=None)),
    re_path(r"^api(?:/.*)?$", RouteNotFound.as_view()),
    re_path(r"^bin/(?P<name>.*)$", binaries.binary),
    path("", Home.as_view(), name="home"),
    path("", include("coderproj.accounts.pages.urls")),
    path("", include("provisioning.pages.urls")),
    path("", include("templates_app.pages.urls")),
    path("", include("templates_app.workspaces.pages.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "coderproj.console.errors.bad_request"
handler403 = "coderproj.console.errors.permission_denied"
handler404 = "coderproj.console.errors.page_not_found"
handler500 = "coderproj.console.errors.server_error"
