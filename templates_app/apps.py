from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    """Templates and their versions."""

    name = "templates_app"
    verbose_name = "Templates"
    contributions = {
        "audit_names": "templates_app.pages.audit_names.NAMES",
        "audit_policies": "templates_app.audit_policies.POLICIES",
        "compiled_reads": "templates_app.reads.READS",
        "group_reach": "templates_app.pages.group_reach.FINDERS",
        "job_kinds": "templates_app.job_kinds.KINDS",
        "job_subjects": "templates_app.pages.job_subjects.SUBJECTS",
        "navigation": "templates_app.pages.navigation.ENTRIES",
        "organization_uses": "templates_app.services.uses.OF_ORGANIZATION",
        "parameter_scopes": "templates_app.services.access.PARAMETER_SCOPES",
        "rights_sources": "templates_app.services.access.RIGHTS",
        "search_sources": "templates_app.pages.search.SOURCES",
        "stream_services": "templates_app.bounded.SERVICES",
    }
