"""Jobs, their input and their results."""

from provisioning.models.daemons import ProvisionerDaemon
from provisioning.models.files import PIECE_BYTES, File, FilePiece
from provisioning.models.jobs import DEFAULT_TAGS, JobEnd, JobStatus, Provisioner, ProvisionerJob
from provisioning.models.keys import ProvisionerKey
from provisioning.models.logs import ProvisionerJobLog
from provisioning.models.parameters import (
    DestinationScheme,
    ParameterSchema,
    ParameterScope,
    ParameterValue,
    SourceScheme,
)
from provisioning.models.resources import (
    AgentStatus,
    AppHealth,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
    agent_status,
    agent_status_expression,
    gone_at,
    gone_at_expression,
    hash_of_token,
)

__all__ = [
    "DEFAULT_TAGS",
    "PIECE_BYTES",
    "AgentStatus",
    "AppHealth",
    "DestinationScheme",
    "File",
    "FilePiece",
    "JobEnd",
    "JobStatus",
    "ParameterSchema",
    "ParameterScope",
    "ParameterValue",
    "Provisioner",
    "ProvisionerDaemon",
    "ProvisionerJob",
    "ProvisionerJobLog",
    "ProvisionerKey",
    "SourceScheme",
    "WorkspaceAgent",
    "WorkspaceApp",
    "WorkspaceResource",
    "WorkspaceResourceMetadata",
    "agent_status",
    "agent_status_expression",
    "gone_at",
    "gone_at_expression",
    "hash_of_token",
]
