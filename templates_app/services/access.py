"""Who may do what with templates, beyond what the querysets filter."""

from coderproj.errors import Forbidden, NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.models import Organization
from coderproj.identity.rbac import Action, Resource, allowed
from templates_app.models import Template


def authorize_in_organization(actor: Actor, action: Action, organization: Organization) -> None:
    """Return when the actor may do this with the organization's templates as such. Raises Forbidden for a member
    and NotFound for anybody else."""
    if allowed(actor, action, Resource.TEMPLATE, organization_id=organization.pk):
        return
    if organization.pk in actor.organization_roles:
        raise Forbidden
    raise NotFound


def authorize(actor: Actor, action: Action, template: Template) -> None:
    """Return when the actor may do this with a template that they can read. Raises Forbidden."""
    if not Template.objects.manageable(actor, action).filter(pk=template.pk).exists():
        raise Forbidden
