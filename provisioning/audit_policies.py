"""What the audit log keeps of stored parameter values and of daemon keys: everything but the secrets."""

from coderproj.identity.audit import Policy, declare
from provisioning.models import ParameterValue, ProvisionerKey

declare(
    ParameterValue,
    Policy(
        "parameter_value",
        target="name",
        tracked=("id", "scope", "scope_id", "name", "source_scheme", "destination_scheme"),
        secret=("source_value",),
        ignored=("created_at", "updated_at"),
    ),
)
declare(
    ProvisionerKey,
    Policy(
        "provisioner_key",
        target="name",
        tracked=("id", "name", "organization_id", "tags", "created_by_id", "expires_at", "revoked_at"),
        secret=("hashed_secret",),
        ignored=("created_at", "last_used"),
    ),
)
