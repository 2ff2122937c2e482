"""Answers to what identity asks before it deletes: which templates are still in an organization."""

from coderproj.identity.models import Organization
from templates_app.models import Template

MAX_NAMED = 5


def of_organization(organization: Organization) -> str:
    """Return a sentence about the templates of an organization, empty if there are none."""
    rows = Template.objects.existing().filter(organization=organization)
    count = rows.count()
    if not count:
        return ""
    named = ", ".join(rows.order_by("name").values_list("name", flat=True)[:MAX_NAMED])
    more = f" and {count - MAX_NAMED} more" if count > MAX_NAMED else ""
    noun = "template" if count == 1 else "templates"
    return f"The organization still has {count} {noun}: {named}{more}. Delete them first."


OF_ORGANIZATION = [of_organization]
