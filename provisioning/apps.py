from django.apps import AppConfig


class ProvisioningConfig(AppConfig):
    """Jobs and their results: files, jobs, logs, resources, parameters and daemons."""

    name = "provisioning"
    verbose_name = "Provisioning"
    contributions = {
        "audit_names": "provisioning.pages.audit_names.NAMES",
        "audit_policies": "provisioning.audit_policies.POLICIES",
        "caller_sources": "provisioning.views.key_authentication.CALLER_SOURCES",
        "navigation": "provisioning.pages.navigation.ENTRIES",
        "organization_uses": "provisioning.uses.OF_ORGANIZATION",
        "search_sources": "provisioning.pages.search.SOURCES",
        "stream_services": "provisioning.log.following.hub.STREAM_SERVICES",
    }
