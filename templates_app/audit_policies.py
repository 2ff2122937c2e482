"""The fields of templates and versions that the audit log records."""

from coderproj.identity.audit import Policy, Snapshot
from templates_app.models import Template, TemplateAccess, TemplateVersion


def _access_list(template: Template) -> Snapshot:
    entries = TemplateAccess.objects.filter(template=template).order_by("pk")
    return {
        "user_acl": {str(entry.user_id): entry.role for entry in entries if entry.user_id},
        "group_acl": {str(entry.group_id): entry.role for entry in entries if entry.group_id},
    }


POLICIES = [
    Policy(
        Template,
        "template",
        target="name",
        tracked=(
            "id",
            "name",
            "display_name",
            "description",
            "icon",
            "provisioner",
            "active_version_id",
            "default_ttl_ms",
            "allow_user_cancel_workspace_jobs",
            "created_by_id",
            "activity_bump_ms",
            "autostop_days",
            "autostop_weeks",
            "autostart_days",
            "allow_user_autostart",
            "allow_user_autostop",
            "failure_ttl_ms",
            "time_til_dormant_ms",
            "time_til_dormant_autodelete_ms",
            "require_active_version",
            "deprecation_message",
            "max_port_share_level",
            "cors_behavior",
            "use_classic_parameter_flow",
            "agents_allowed",
        ),
        ignored=("created_at", "updated_at", "organization_id", "deleted", "rules"),
        related=_access_list,
    ),
    Policy(
        TemplateVersion,
        "template_version",
        target="name",
        tracked=("id", "template_id", "name", "message", "readme", "created_by_id", "archived"),
        ignored=("created_at", "updated_at", "organization_id", "job_id", "unverified_providers", "unverified_modules"),
    ),
]
