from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    """Templates and their versions: what people come for."""

    name = "templates_app"
    verbose_name = "Templates"
    contributions = {
        "job_kinds": "templates_app.job_kinds.KINDS",
        "job_subjects": "templates_app.job_subjects.SUBJECTS",
    }

    def ready(self) -> None:
        from templates_app import audit_policies  # noqa: F401 - declares what is audited
        from templates_app.services import access

        access.register_parameter_scopes()
