"""The fields of parameter values, daemon keys and jobs that the audit log records: all but the secrets."""

from coderproj.identity.audit import Policy
from provisioning.models import ParameterValue, ProvisionerJob, ProvisionerKey

POLICIES = [
    Policy(
        ParameterValue,
        "parameter_value",
        target="name",
        tracked=("id", "scope", "scope_id", "name", "source_scheme", "destination_scheme"),
        secret=("source_value",),
        ignored=("created_at", "updated_at"),
    ),
    Policy(
        ProvisionerKey,
        "provisioner_key",
        target="name",
        tracked=("id", "name", "organization_id", "tags", "created_by_id", "expires_at", "revoked_at"),
        secret=("hashed_secret",),
        ignored=("created_at", "last_used"),
    ),
    Policy(
        ProvisionerJob,
        "provisioner_job",
        target="id",
        tracked=("started_at", "canceled_at", "completed_at", "worker_id", "attempts", "error"),
        # The input can contain parameter values.
        ignored=(
            "id",
            "created_at",
            "updated_at",
            "organization_id",
            "initiator_id",
            "provisioner",
            "storage_method",
            "type",
            "file_id",
            "input",
            "tags",
            "priority",
            "lease",
            "lease_expires_at",
            "ended_lease",
            "ended_as",
            "log_count",
        ),
    ),
]
