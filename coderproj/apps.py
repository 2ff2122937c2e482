from django.apps import AppConfig


class CoderprojConfig(AppConfig):
    """The project itself: console, system endpoints, commands and deploy checks."""

    name = "coderproj"
    verbose_name = "coderproj"

    def ready(self) -> None:
        from coderproj import checks, lookups  # noqa: F401 - these register themselves
