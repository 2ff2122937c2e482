"""A starter: its readme, its files and its parameters."""

from functools import cache

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString, mark_safe

from coderproj.base.errors import NotFound
from coderproj.console import markdown
from coderproj.console.views import SignedInPage
from templates_app import starters
from templates_app.pages.listing import may_create_somewhere
from templates_app.pages.source import reading
from templates_app.tasks.preview import Preview, preview_of


class StarterPage(SignedInPage):
    """A starter by its slug. The button to use it is for actors who may create templates."""

    section = "starters"
    starter: starters.Starter

    def prepare(self, **route: str) -> None:
        found = starters.find(route["starter"])
        if found is None:
            raise NotFound
        self.starter = found

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        starter = self.starter
        context = reading(starters.archive(starter.slug), request.GET.get("file", "")) | {
            "starter": starter,
            "readme": _readme(starter.slug),
            "preview": _preview(starter.slug),
            "address": request.path,
            "read_only": not may_create_somewhere(self.actor),
            "trail": [("Starter templates", "/starters"), (starter.name, "")],
        }
        return self.show("templates_app/starter.html", context)


# Starters do not change while the server runs.
@cache
def _readme(slug: str) -> SafeString:
    starter = starters.find(slug)
    return mark_safe(markdown.render(starter.markdown) if starter else "")  # noqa: S308 - cleaned by an allow-list


@cache
def _preview(slug: str) -> Preview | None:
    return preview_of(starters.archive(slug))
