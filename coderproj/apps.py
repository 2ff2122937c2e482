from django.apps import AppConfig


class CoderprojConfig(AppConfig):
    """The project itself: console, system endpoints, commands and deploy checks."""

    name = "coderproj"
    verbose_name = "coderproj"
    contributions = {"loop_responders": "coderproj.reads.responder.RESPONDERS"}

    def ready(self) -> None:
        from coderproj import checks  # noqa: F401 - registers the deploy checks
        from coderproj.base import lookups  # noqa: F401 - registers the lookups
        from coderproj.reads import checks as reads_checks  # noqa: F401 - registers the check of compiled reads
