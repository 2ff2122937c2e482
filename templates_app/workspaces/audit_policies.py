"""The fields of workspaces and builds that the audit log records."""

from coderproj.identity.audit import Policy
from templates_app.workspaces.models import Workspace, WorkspaceBuild

POLICIES = [
    Policy(
        Workspace,
        "workspace",
        target="name",
        tracked=("id", "name", "owner_id", "template_id", "autostart_schedule", "ttl_ms"),
        ignored=(
            "created_at",
            "updated_at",
            "organization_id",
            "deleted",
            "schedule_set_at",
            "last_used_at",
            "latest_build_id",
            "due_at",
            "last_due_at",
            "failed_stops",
            "stop_tried_at",
            "daily_cost",
        ),
    ),
    Policy(
        WorkspaceBuild,
        "workspace_build",
        target="name",
        tracked=("template_version_id", "deadline"),
        ignored=(
            "id",
            "created_at",
            "updated_at",
            "workspace_id",
            "build_number",
            "transition",
            "reason",
            "initiator_id",
            "job_id",
            "daily_cost",
        ),
    ),
]
