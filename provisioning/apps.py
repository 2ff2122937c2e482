from django.apps import AppConfig


class ProvisioningConfig(AppConfig):
    """Jobs and their results: files, jobs, logs, resources, parameters and daemons."""

    name = "provisioning"
    verbose_name = "Provisioning"
    contributions = {"stream_services": "provisioning.log.following.hub.STREAM_SERVICES"}

    def ready(self) -> None:
        from provisioning import audit_policies  # noqa: F401 - declares what is audited
