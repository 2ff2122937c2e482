"""The condition under which an actor may act on a template, for the querysets of templates and of versions."""

from django.db.models import Exists, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from templates_app.models.access import TemplateAccess

NOBODY = Q(pk__in=())


def access_list(actor: Actor, roles: tuple[str, ...], template: str, *, of_one: bool) -> Q:
    """Whether the template that the field ``template`` names lists the actor, or a group of theirs, with such a role.

    Groups count while the actor is a member of their organization; a user's own entry counts anywhere. The list
    ``of_one`` template is looked up. For many it is an EXISTS, which PostgreSQL may answer from a table of all lists
    that it makes first: good for a list, but a third of what one template costs.
    """
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
