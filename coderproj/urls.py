"""Every route, one line each, in the order of the API's document. Trailing slashes are taken off before routing."""

from django.contrib import admin
from django.urls import include, path, re_path

from coderproj.api import system
from coderproj.api.views import RouteNotFound
from coderproj.identity import views as identity
from provisioning import views as provisioning
from templates_app.views import dry_runs, templates, versions

ORGANIZATION = "organizations/<str:organization>"
TEMPLATE = "templates/<str:template>"
VERSION = "templateversions/<str:templateversion>"
DRY_RUN = f"{VERSION}/dry-run/<str:job_id>"

api = [
    # The documented endpoints.
    path(f"{ORGANIZATION}/templates", templates.OrganizationTemplatesView.as_view()),
    path(f"{ORGANIZATION}/templates/examples", templates.StartersView.as_view()),
    path(f"{ORGANIZATION}/templates/<str:templatename>", templates.OrganizationTemplateView.as_view()),
    path(f"{ORGANIZATION}/templateversions", versions.OrganizationVersionsView.as_view()),
    path(
        f"{ORGANIZATION}/templateversions/<str:templateversionname>",
        versions.OrganizationVersionView.as_view(),
    ),
    path(
        f"{ORGANIZATION}/templateversions/<str:templateversionname>/previous",
        versions.PreviousVersionView.as_view(),
    ),
    path(TEMPLATE, templates.TemplateView.as_view()),
    path(f"{TEMPLATE}/daus", templates.TemplateDailyUsersView.as_view()),
    path(f"{TEMPLATE}/versions", templates.TemplateVersionsView.as_view()),
    path(f"{TEMPLATE}/versions/<str:templateversionname>", templates.TemplateVersionByNameView.as_view()),
    path(VERSION, versions.VersionView.as_view()),
    path(f"{VERSION}/cancel", versions.CancelVersionView.as_view()),
    path(f"{VERSION}/dry-run", dry_runs.DryRunsView.as_view()),
    path(DRY_RUN, dry_runs.DryRunView.as_view()),
    path(f"{DRY_RUN}/cancel", dry_runs.CancelDryRunView.as_view()),
    path(f"{DRY_RUN}/logs", dry_runs.DryRunLogsView.as_view()),
    path(f"{DRY_RUN}/resources", dry_runs.DryRunResourcesView.as_view()),
    path(f"{VERSION}/logs", versions.VersionLogsView.as_view()),
    path(f"{VERSION}/parameters", versions.VersionParametersView.as_view()),
    path(f"{VERSION}/resources", versions.VersionResourcesView.as_view()),
    path(f"{VERSION}/rich-parameters", versions.VersionRichParametersView.as_view()),
    path(f"{VERSION}/schema", versions.VersionSchemaView.as_view()),
    # Around them: what clients need to get there.
    path("", system.RootView.as_view()),
    path("buildinfo", system.BuildInfoView.as_view()),
    path("files", provisioning.FilesView.as_view()),
    path("files/<str:file>", provisioning.FileView.as_view()),
    path("organizations", identity.OrganizationsView.as_view()),
    path(ORGANIZATION, identity.OrganizationView.as_view()),
    path("users/first", identity.FirstUserView.as_view()),
    path("users/login", identity.LoginView.as_view()),
    path("users/logout", identity.LogoutView.as_view()),
    path("users/authmethods", system.AuthMethodsView.as_view()),
    path("users/<str:user>", identity.UserView.as_view()),
    path("users/<str:user>/organizations", identity.UserOrganizationsView.as_view()),
    path("users/<str:user>/keys", identity.KeysView.as_view()),
    path("users/<str:user>/keys/tokens", identity.TokensView.as_view()),
]

urlpatterns = [
    path("healthz", system.healthz),
    path("readyz", system.readyz),
    path("api/v2/", include(api)),
    path("api/v2", system.RootView.as_view()),
    re_path(r"^api(?:/.*)?$", RouteNotFound.as_view()),
    path("admin/", admin.site.urls),
]
