from django.apps import AppConfig


class WorkspacesConfig(AppConfig):
    """Workspaces that people build from templates."""

    name = "templates_app.workspaces"
    label = "workspaces"
    verbose_name = "Workspaces"
    contributions = {
        "audit_names": "templates_app.workspaces.pages.audit_names.NAMES",
        "audit_policies": "templates_app.workspaces.audit_policies.POLICIES",
        "checked_objects": "templates_app.workspaces.services.access.CHECKED_OBJECTS",
        "compiled_reads": "templates_app.workspaces.reads.READS",
        "home_pages": "templates_app.workspaces.pages.home.PAGES",
        "long_bodies": "templates_app.workspaces.views.long_bodies.LONG_BODIES",
        "job_kinds": "templates_app.workspaces.job_kinds.KINDS",
        "job_subjects": "templates_app.workspaces.pages.job_subjects.SUBJECTS",
        "navigation": "templates_app.workspaces.pages.navigation.ENTRIES",
        "organization_uses": "templates_app.workspaces.services.uses.OF_ORGANIZATION",
        "parameter_scopes": "templates_app.workspaces.services.access.PARAMETER_SCOPES",
        "running_workspaces": "templates_app.workspaces.pages.of_template.RUNNING",
        "search_sources": "templates_app.workspaces.pages.search.SOURCES",
        "template_actions": "templates_app.workspaces.pages.of_template.ACTIONS",
        "template_tabs": "templates_app.workspaces.pages.of_template.TABS",
        "stream_services": "templates_app.workspaces.watching.STREAM_SERVICES",
        "template_changes": "templates_app.workspaces.events.OF_TEMPLATE",
        "template_uses": "templates_app.workspaces.services.uses.OF_TEMPLATE",
        "used_versions": "templates_app.workspaces.services.uses.VERSIONS",
        "user_panels": "templates_app.workspaces.pages.quota.USER_PANELS",
        "user_uses": "templates_app.workspaces.services.uses.OF_USER",
    }
