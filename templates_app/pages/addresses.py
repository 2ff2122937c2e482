"""Where things are shown."""

from django.urls import reverse

from templates_app.models import Template, TemplateVersion


def template_url(template: Template, route: str = "template") -> str:
    """The page of a template, or another of its routes. The template's organization is read."""
    return reverse(route, args=[template.organization.name, template.name])


def version_url(version: TemplateVersion, route: str = "version") -> str:
    """The page of a version, or another of its routes: below its template by name, else by id."""
    template = version.template
    if template is None or template.deleted:
        return reverse(f"unattached-{route}", args=[version.pk])
    return reverse(route, args=[template.organization.name, template.name, version.name])
