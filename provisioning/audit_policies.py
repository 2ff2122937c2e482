"""What the audit log keeps of stored parameter values: everything but the values."""

from coderproj.identity.audit import Policy, declare
from provisioning.models import ParameterValue

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
