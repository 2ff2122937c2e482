from django.apps import AppConfig


class ProvisioningConfig(AppConfig):
    """Work and its results: files, jobs, logs, resources, parameters and daemons."""

    name = "provisioning"
    verbose_name = "Provisioning"
