from django.apps import AppConfig


class IdentityConfig(AppConfig):
    """Users, organizations, groups, tokens, roles and the audit log."""

    name = "coderproj.identity"
    label = "identity"
    verbose_name = "Identity"
    contributions = {
        "audit_policies": "coderproj.identity.audit_policies.POLICIES",
        "caller_sources": "coderproj.identity.callers.SOURCES",
    }
