"""Jobs, their input and their results."""

from provisioning.models.daemons import ProvisionerDaemon
from provisioning.models.files import File
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
    AppHealth,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
)

__all__ = [
    "DEFAULT_TAGS",
    "AppHealth",
    "DestinationScheme",
    "File",
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
]
