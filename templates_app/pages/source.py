"""The source files of a version."""

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.base.errors import DomainError, NotFound
from provisioning.files import stored
from templates_app.pages.addresses import version_url
from templates_app.pages.version import VersionSection
from templates_app.source import NotShown, check_size, open_source


class VersionFiles(VersionSection):
    """All files, and the text of the one in ``?file=``, for actors who may read the source. Others get 404."""

    tab = "files"

    def prepare(self, **route: Any) -> None:
        super().prepare(**route)
        if not self.reads_source:
            raise NotFound

    def get(self, request: HttpRequest, **route: Any) -> HttpResponseBase:
        context = self._reading(request.GET.get("file", ""))
        context["address"] = version_url(self.version, "version-files")
        return self.show("templates_app/version_files.html", self.frame("Files") | context)

    def _reading(self, wanted: str) -> dict[str, Any]:
        file = self.version.job.file
        assert file is not None  # ``prepare`` checked it
        try:
            check_size(file.size)
            return reading(stored.content(file.pk), wanted)
        except NotShown as reason:
            return {"archive_not_shown": str(reason)}
        except DomainError as error:
            return {"problem": error.message}


def reading(archive: bytes, wanted: str) -> dict[str, Any]:
    """Return the context of ``_files.html`` and ``_source.html``: the files, and the lines of the wanted one, or its
    name as ``missing``. Raises the errors of ``open_source``."""
    source = open_source(archive, wanted)
    context: dict[str, Any] = {"files": source.files, "file": source.chosen}
    if source.chosen is None:
        return context | {"missing": wanted}
    try:
        return context | {"lines": source.lines()}
    except NotShown as reason:
        return context | {"not_shown": str(reason)}
