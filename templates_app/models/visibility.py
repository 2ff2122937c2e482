"""The condition for an actor's access to a template, used by the querysets of templates and versions."""

from django.db.models import Exists, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope
from coderproj.identity.rbac import Action, Resource, allowed_everywhere, organizations_where
from templates_app.models.access import TemplateAccess

NO_ROWS = Q(pk__in=())


def access_list(actor: Actor, roles: tuple[str, ...], template: str, *, single: bool) -> Q:
    """Match templates whose access list has the actor, or one of the actor's groups, with one of ``roles``.

    ``template`` is the field with the template's id. A group's entry counts while the actor is a member of the group's
    organization; a user's own entry always counts. With ``single``, a subquery looks up the template's list. Otherwise
    the condition is an EXISTS, for which PostgreSQL may first build a table of all lists: fast for many templates, but
    it takes a third of the time of a query for one.
    """
    entries = TemplateAccess.objects.filter(
        Q(user_id=actor.id) | Q(group_id__any=actor.group_ids), role__in=roles, template=OuterRef(template)
    )
    if single:
        return Q(Coalesce(Subquery(entries.order_by().values(listed=Value(True))[:1]), Value(False)))
    return Q(Exists(entries))


def template_condition(actor: Actor, action: Action, prefix: str = "", *, single: bool = False) -> Q:
    """Match templates on which the actor may do ``action``. ``prefix`` is the lookup of the template (``template__``);
    ``single`` is for queries that select one template or version."""
    if actor.scope != KeyScope.ALL:
        return NO_ROWS
    if allowed_everywhere(actor, action, Resource.TEMPLATE):
        return Q()
    roles = ("use", "admin") if action == Action.READ else ("admin",)
    organizations = organizations_where(actor, action, Resource.TEMPLATE)
    listed = access_list(actor, roles, f"{prefix}id", single=single)
    return Q(**{f"{prefix}organization_id__any": organizations}) | listed
