"""What people come for."""

from templates_app.models.templates import (
    AccessRole,
    RichParameter,
    Template,
    TemplateAccess,
    TemplateVersion,
    Unverified,
)

__all__ = ["AccessRole", "RichParameter", "Template", "TemplateAccess", "TemplateVersion", "Unverified"]
