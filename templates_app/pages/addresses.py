"""The addresses of the pages of templates and versions."""

from coderproj.console.addresses import page_url
from templates_app.models import Template, TemplateVersion

# Routes and names of versions whose address by names belongs to another page.
SHADOWED = {("version", "new")}


def template_url(template: Template, route: str = "template") -> str:
    """Return the address of a template's page, or of another of its routes. Needs the template's organization."""
    return page_url(route, template.organization.name, template.name)


def version_url(version: TemplateVersion, route: str = "version") -> str:
    """Return the address of a version's page, or of another of its routes: by names below its template, else by
    ID."""
    template = version.template
    if template is None or template.deleted or (route, version.name) in SHADOWED:
        return page_url(f"unattached-{route}", str(version.pk))
    return page_url(route, template.organization.name, template.name, version.name)
