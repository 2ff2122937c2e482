from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    """Templates and their versions: what people come for."""

    name = "templates_app"
    verbose_name = "Templates"

    def ready(self) -> None:
        from templates_app import audit_policies  # noqa: F401 - declares what is audited
        from templates_app.services import access, versions

        versions.register_import_outcome()
        access.register_parameter_scopes()
