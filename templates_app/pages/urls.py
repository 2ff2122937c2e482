"""The addresses of the pages of templates. A page of a version has two: below its template, and by ID."""

from collections.abc import Callable

from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from templates_app.pages import (
    comparing,
    creating,
    deployment,
    history,
    insights,
    listing,
    permissions,
    resources,
    source,
    starters,
    template,
    template_settings,
    trying,
    version,
    version_settings,
)

TEMPLATE = "templates/<str:organization>/<str:template>"
VERSION = f"{TEMPLATE}/versions/<str:version>"


def of_version(ending: str, view: Callable[..., HttpResponseBase], name: str) -> list[URLPattern]:
    """Return the two addresses of a page of a version; the one by ID is named ``unattached-…``."""
    return [
        path(f"{VERSION}{ending}", view, name=name),
        path(f"versions/<uuid:id>{ending}", view, name=f"unattached-{name}"),
    ]


urlpatterns = [
    path("templates", listing.TemplatesPage.as_view(), name="templates"),
    path("templates/new", creating.NewTemplate.as_view(), name="new-template"),
    path("templates/<str:name>", template.ShortAddress.as_view()),
    path("insights", deployment.InsightsPage.as_view(), name="insights"),
    path("starters", creating.StartersPage.as_view(), name="starters"),
    path("starters/<slug:starter>", starters.StarterPage.as_view(), name="starter"),
    path(TEMPLATE, template.TemplateOverview.as_view(), name="template"),
    path(f"{TEMPLATE}/versions", template.TemplateVersionsPage.as_view(), name="template-versions"),
    path(f"{TEMPLATE}/parameters", trying.TemplateParameters.as_view(), name="template-parameters"),
    path(f"{TEMPLATE}/resources", resources.TemplateResources.as_view(), name="template-resources"),
    path(f"{TEMPLATE}/settings", template_settings.TemplateSettings.as_view(), name="template-settings"),
    path(f"{TEMPLATE}/settings/delete", template_settings.DeleteTemplate.as_view(), name="delete-template"),
    path(f"{TEMPLATE}/permissions", permissions.TemplatePermissions.as_view(), name="template-permissions"),
    path(f"{TEMPLATE}/permissions/change", permissions.ChangePermission.as_view(), name="change-permission"),
    path(f"{TEMPLATE}/permissions/remove", permissions.RemovePermission.as_view(), name="remove-permission"),
    path(f"{TEMPLATE}/insights", insights.TemplateInsights.as_view(), name="template-insights"),
    path(f"{TEMPLATE}/audit", history.TemplateAudit.as_view(), name="template-audit"),
    path(f"{TEMPLATE}/versions/new", creating.NewVersion.as_view(), name="new-version"),
    path(f"{VERSION}/promote", template.PromotePage.as_view(), name="promote"),
    *of_version("", version.VersionPage.as_view(), "version"),
    *of_version("/cancel", version.CancelVersion.as_view(), "cancel-version"),
    *of_version("/log.txt", version.VersionLogText.as_view(), "version-log"),
    *of_version("/changes", comparing.VersionChanges.as_view(), "version-changes"),
    *of_version("/parameters", trying.VersionParameters.as_view(), "version-parameters"),
    *of_version("/parameters/check", trying.CheckParameters.as_view(), "check-parameters"),
    *of_version("/dry-run", trying.StartDryRun.as_view(), "start-dry-run"),
    *of_version("/resources", resources.VersionResources.as_view(), "version-resources"),
    *of_version("/files", source.VersionFiles.as_view(), "version-files"),
    *of_version("/settings", version_settings.VersionSettings.as_view(), "version-settings"),
    *of_version("/archive", version_settings.ArchiveVersion.as_view(), "archive-version"),
    *of_version("/retry", creating.RetryVersion.as_view(), "retry"),
    path("versions/<uuid:id>/template", creating.CreateTemplate.as_view(), name="create-template"),
]
