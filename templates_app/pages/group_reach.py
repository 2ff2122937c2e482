"""The templates that a group gives access to, for its page."""

from collections.abc import Sequence

from coderproj.accounts.pages.reach import Reachable
from coderproj.identity.actor import Actor
from coderproj.identity.models import Group
from templates_app.models import AccessRole, Template, TemplateAccess
from templates_app.pages.addresses import template_url

MAY = {AccessRole.USE.value: "use", AccessRole.ADMIN.value: "administer"}


def reach_of(actor: Actor, group: Group) -> Sequence[Reachable]:
    """Return the visible templates whose access list has the group, by name. One query."""
    entries = TemplateAccess.objects.filter(group=group, template__in=Template.objects.visible(actor))
    rows = entries.select_related("template__organization").order_by("template__name")
    return [
        Reachable(
            name=row.template.display_name or row.template.name,
            note=row.template.description,
            url=template_url(row.template),
            icon=row.template.icon,
            may=MAY[row.role],
        )
        for row in rows
    ]


FINDERS = [reach_of]
