"""Which templates and versions an actor may see or act on. Views, pages and commands start from here."""

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where

if TYPE_CHECKING:
    from templates_app.models import Template, TemplateVersion  # noqa: F401

NOBODY = Q(pk__in=())


def access_list(actor: Actor, roles: tuple[str, ...], template: str, *, of_one: bool) -> Q:
    """Whether the template that the field ``template`` names lists the actor, or a group of theirs, with such a role.

    Groups count while the actor is a member of their organization; a user's own entry counts anywhere. The list
    ``of_one`` template is looked up. For many it is an EXISTS, which PostgreSQL may answer from a table of all lists
    that it makes first: good for a list, but a third of what one template costs.
    """
    from templates_app.models import TemplateAccess

    entries = TemplateAccess.objects.filter(
        Q(user_id=actor.id) | Q(group_id__any=actor.group_ids), role__in=roles, template=OuterRef(template)
    )
    if of_one:
        return Q(Coalesce(Subquery(entries.order_by().values(listed=Value(True))[:1]), Value(False)))
    return Q(Exists(entries))


def template_condition(actor: Actor, action: Action, prefix: str = "", *, of_one: bool = False) -> Q:
    """The WHERE of "the actor may do this with the template". ``prefix`` reaches the template (``template__``);
    ``of_one`` is for queries that name the template or the version."""
    if actor.scope != KeyScope.ALL:
        return NOBODY
    if allowed_everywhere(actor, action, Resource.TEMPLATE):
        return Q()
    roles = ("use", "admin") if action == Action.READ else ("admin",)
    organizations = organizations_where(actor, action, Resource.TEMPLATE)
    listed = access_list(actor, roles, f"{prefix}id", of_one=of_one)
    return Q(**{f"{prefix}organization_id__any": organizations}) | listed


class TemplateQuerySet(models.QuerySet["Template"]):
    def existing(self) -> "TemplateQuerySet":
        """Templates that were not deleted."""
        return self.filter(deleted=False)

    def readable(self, actor: Actor) -> "TemplateQuerySet":
        """Templates that the actor may read, deleted ones included."""
        return self.filter(template_condition(actor, Action.READ))

    def visible(self, actor: Actor) -> "TemplateQuerySet":
        """Existing templates that the actor may read."""
        return self.existing().readable(actor)

    def visible_one(self, actor: Actor) -> "TemplateQuerySet":
        """The same, for a query that names one template."""
        return self.existing().filter(template_condition(actor, Action.READ, of_one=True))

    def with_statistics(self) -> "TemplateQuerySet":
        """Adds ``workspace_owner_count`` and ``active_user_count``. There are no workspaces yet, so nobody owns one
        and nobody was counted (-1)."""
        return self.annotate(workspace_owner_count=Value(0), active_user_count=Value(-1))

    def most_used_first(self) -> "TemplateQuerySet":
        """With statistics and authors, in the order of lists."""
        return self.with_statistics().select_related("created_by").order_by(F("active_user_count").desc(), "name", "id")

    def manageable(self, actor: Actor, action: Action = Action.UPDATE) -> "TemplateQuerySet":
        """Existing templates with which the actor may do that."""
        return self.existing().filter(template_condition(actor, action))


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    def visible(self, actor: Actor) -> "TemplateVersionQuerySet":
        """Versions of readable templates, deleted ones included; of those without a template, the actor's own and
        those in organizations where the actor may create templates."""
        return self.filter(self._condition(actor, Action.READ))

    def visible_one(self, actor: Actor) -> "TemplateVersionQuerySet":
        """The same, for a query that names one version."""
        return self.filter(self._condition(actor, Action.READ, of_one=True))

    def manageable(self, actor: Actor) -> "TemplateVersionQuerySet":
        """Versions that the actor may change, cancel or promote."""
        return self.filter(self._condition(actor, Action.UPDATE))

    def good(self) -> "TemplateVersionQuerySet":
        """Versions that one may well use: imported with success, and not archived."""
        imported = Q(job__completed_at__isnull=False, job__canceled_at=None, job__error="")
        return self.filter(imported, archived=False)

    def after_id(self, version_id: uuid.UUID) -> "TemplateVersionQuerySet":
        """Versions that come after that one in the order of creation: the page's start is found by index."""
        cursor = self.model._default_manager.filter(pk=version_id)
        created_at = Subquery(cursor.values("created_at"))
        before = Q(created_at=created_at, id__lte=version_id)
        return self.filter(created_at__gte=created_at).exclude(before)

    @staticmethod
    def _condition(actor: Actor, action: Action, *, of_one: bool = False) -> Q:
        if actor.scope != KeyScope.ALL:
            return NOBODY
        of_template = template_condition(actor, action, "template__", of_one=of_one)
        condition = Q(template__isnull=False) & of_template
        if allowed_everywhere(actor, Action.READ if action == Action.READ else Action.CREATE, Resource.TEMPLATE):
            return condition | Q(template=None)
        unattached = Q(created_by_id=actor.id) | Q(
            organization_id__any=organizations_where(actor, Action.CREATE, Resource.TEMPLATE)
        )
        return condition | (Q(template=None) & unattached)
