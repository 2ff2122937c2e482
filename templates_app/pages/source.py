"""The files that a version was imported from, to be read."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.errors import DomainError, NotFound
from provisioning.models import ProvisionerJob
from templates_app.pages.addresses import version_url
from templates_app.pages.version import VersionSection
from templates_app.source import NotShown, SourceFile, lines_of, list_files, read_file

# Where Terraform's users begin to read.
FIRST = "main.tf"


class VersionFiles(VersionSection):
    """All files, and the one that ``?file=`` names. For those who may read the source; for others there is no such
    page."""

    tab = "files"

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        if not self.reads_source:
            raise NotFound

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        data = ProvisionerJob.objects.values_list("file__data", flat=True).get(pk=self.version.job_id)
        try:
            context = reading(bytes(data), request.GET.get("file", ""))
        except DomainError as error:
            context = {"problem": error.message}
        context["address"] = version_url(self.version, "version-files")
        return self.show("templates_app/version_files.html", self.frame("Files") | context)


def reading(archive: bytes, wanted: str) -> dict[str, Any]:
    """The context of ``_files.html`` and ``_source.html``: the files, the one that is wanted and its lines. When there
    is none of that name it is said, and another is shown. Raises Invalid for a broken archive."""
    files = list_files(archive)
    file = next((file for file in files if file.path == wanted), None)
    context: dict[str, Any] = {"files": files, "missing": wanted if wanted and file is None else ""}
    file = file or _first(files)
    if file is None:
        return context
    context["file"] = file
    try:
        context["lines"] = lines_of(read_file(archive, file.path))
    except NotShown as reason:
        context["not_shown"] = str(reason)
    return context


def _first(files: Sequence[SourceFile]) -> SourceFile | None:
    named = (file for file in files if file.path == FIRST)
    configuration = (file for file in files if file.path.endswith(".tf"))
    return next(named, None) or next(configuration, None) or next(iter(files), None)
