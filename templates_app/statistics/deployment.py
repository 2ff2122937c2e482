"""The scopes of insights about several templates, and the templates in them."""

import uuid
from dataclasses import dataclass

from coderproj.identity.actor import Actor
from coderproj.identity.models import Organization
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from templates_app.models import Insights

TEMPLATES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Scope:
    """All templates, or those of an organization."""

    organization: uuid.UUID | None = None
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or "All organizations"


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """The builds of a template. Times are those of successful starts, in seconds."""

    name: str
    display_name: str
    icon: str
    organization: str
    builds: int
    succeeded: int
    failed: int
    imports_failed: int
    p50: float | None
    p95: float | None

    @property
    def success_rate(self) -> float | None:
        ended = self.succeeded + self.failed
        return 100 * self.succeeded / ended if ended else None


def sees_insights(actor: Actor) -> bool:
    """Return True if the actor has a scope. No query."""
    return _sees_everything(actor) or bool(_managed(actor))


def scopes_of(actor: Actor) -> list[Scope]:
    """Return the scopes whose insights the actor may see, the widest first: everything and each organization for actors
    who may read all templates, otherwise the organizations whose templates the actor manages."""
    rows = Organization.objects.existing().order_by("name").values_list("pk", "name")
    if _sees_everything(actor):
        organizations = [Scope(*row) for row in rows]
        return [Scope(), *(organizations if len(organizations) > 1 else [])]
    managed = _managed(actor)
    return [Scope(*row) for row in rows.filter(pk__in=managed)] if managed else []


def templates_of(scope: Scope, days: int) -> list[TemplateRow]:
    """Return the templates of a scope with most builds, and of those most failures, in the last days. One query."""
    rows = Insights.objects.filter(days=days, template__isnull=False, template__deleted=False)
    if scope.organization is not None:
        rows = rows.filter(template__organization=scope.organization)
    found = rows.select_related("template__organization").defer("figures")
    ordered = found.order_by("-builds", "-failed", "-imports_failed", "template__name", "template_id")
    return [_row(row) for row in ordered[:TEMPLATES_SHOWN]]


def _row(row: Insights) -> TemplateRow:
    template = row.template
    assert template is not None
    return TemplateRow(
        name=template.name,
        display_name=template.display_name or template.name,
        icon=template.icon,
        organization=template.organization.name,
        builds=row.builds,
        succeeded=row.succeeded,
        failed=row.failed,
        imports_failed=row.imports_failed,
        p50=_seconds(row.start_p50),
        p95=_seconds(row.start_p95),
    )


def _sees_everything(actor: Actor) -> bool:
    return allowed_everywhere(actor, Action.READ, Resource.TEMPLATE)


def _managed(actor: Actor) -> frozenset[uuid.UUID]:
    return organizations_where(actor, Action.UPDATE, Resource.TEMPLATE)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
