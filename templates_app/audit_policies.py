"""What the audit log keeps of templates and versions."""

from coderproj.identity.audit import Policy, declare
from templates_app.models import Template, TemplateVersion

declare(
    Template,
    Policy(
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
        ),
        ignored=("created_at", "updated_at", "organization_id", "deleted"),
    ),
)
declare(
    TemplateVersion,
    Policy(
        "template_version",
        target="name",
        tracked=("id", "template_id", "name", "message", "readme", "created_by_id", "archived"),
        ignored=("created_at", "updated_at", "organization_id", "job_id", "unverified_providers"),
    ),
)
