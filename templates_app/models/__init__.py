"""Templates, versions, rich parameters and access lists."""

from templates_app.models.access import AccessRole, TemplateAccess
from templates_app.models.templates import RichParameter, Template, TemplateVersion, Unverified, VersionHtml

__all__ = ["AccessRole", "RichParameter", "Template", "TemplateAccess", "TemplateVersion", "Unverified", "VersionHtml"]
