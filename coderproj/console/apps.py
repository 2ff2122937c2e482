from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The page shell: base templates, navigation, charts, template tags."""

    name = "coderproj.console"
    label = "console"
    verbose_name = "Console"
