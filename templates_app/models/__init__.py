"""What people come for."""

from templates_app.models.templates import (
    AccessRole,
    RichParameter,
    Template,
    TemplateAccess,
    TemplateVersion,
)

__all__ = ["AccessRole", "RichParameter", "Template", "TemplateAccess", "TemplateVersion"]
