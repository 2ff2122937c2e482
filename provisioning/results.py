"""Store the results of jobs. Called by ``provisioning.queue.jobs`` within its transactions."""

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress

from provisioning.engine.base import (
    Agent,
    App,
    ParameterSchema,
    Resource,
)
from provisioning.engine.hcl import allowed_texts
from provisioning.log.writing import printable
from provisioning.models import (
    AppHealth,
    DestinationScheme,
    ProvisionerJob,
    SourceScheme,
    WorkspaceAgent,
    WorkspaceApp,
    WorkspaceResource,
    WorkspaceResourceMetadata,
    hash_of_token,
)
from provisioning.models import ParameterSchema as ParameterSchemaRow

# Rows per INSERT: a statement has at most 65,535 parameters.
BATCH = 1_000


def store_schemas(job: ProvisionerJob, schemas: Sequence[ParameterSchema]) -> None:
    """Replace the job's parameter schemas, numbered in source order."""
    ParameterSchemaRow.objects.filter(job=job).delete()
    rows = (
        ParameterSchemaRow(
            job=job,
            index=index,
            name=schema.name,
            description=printable(schema.description, keep_lines=True),
            default_source_scheme=SourceScheme.NONE if schema.default_source_value is None else SourceScheme.DATA,
            default_source_value=schema.default_source_value or "",
            default_is_null=schema.default_is_null,
            allow_override_source=not schema.sensitive,
            default_destination_scheme=DestinationScheme.PROVISIONER_VARIABLE,
            redisplay_value=not schema.sensitive,
            validation_error=schema.validation_error,
            validation_condition=schema.validation_condition,
            validation_type_system=schema.validation_type_system,
            validation_value_type=schema.validation_value_type,
            validation_contains=allowed_texts(schema.validation_condition) if schema.validation_condition else None,
        )
        for index, schema in enumerate(schemas)
    )
    ParameterSchemaRow.objects.bulk_create(rows, batch_size=BATCH)


def store_resources(job: ProvisionerJob, found: Iterable[tuple[str, Resource]]) -> None:
    """Store resources, each with its transition, with their metadata, agents and apps, in batches of one statement per
    table."""
    resources: list[WorkspaceResource] = []
    metadata: list[WorkspaceResourceMetadata] = []
    agents: list[WorkspaceAgent] = []
    apps: list[WorkspaceApp] = []
    for transition, resource in found:
        row = WorkspaceResource(
            job=job,
            workspace_transition=transition,
            type=resource.type,
            name=resource.name,
            hide=resource.hide,
            icon=resource.icon,
            instance_type=resource.instance_type,
            daily_cost=resource.daily_cost,
            instance_key=resource.instance_key,
            position=len(resources),
        )
        resources.append(row)
        metadata += (
            WorkspaceResourceMetadata(
                resource=row,
                key=item.key,
                value="" if item.sensitive else printable(item.value or "", keep_lines=True),
                sensitive=item.sensitive,
                instance_key=item.instance_key,
            )
            for item in resource.metadata
        )
        for position, agent in enumerate(resource.agents):
            agent_row = _agent(row, agent, position)
            agents.append(agent_row)
            apps += (_app(agent_row, app) for app in agent.apps)
    WorkspaceResource.objects.bulk_create(resources, batch_size=BATCH)
    WorkspaceResourceMetadata.objects.bulk_create(metadata, batch_size=BATCH)
    WorkspaceAgent.objects.bulk_create(agents, batch_size=BATCH)
    WorkspaceApp.objects.bulk_create(apps, batch_size=BATCH)


def _agent(resource: WorkspaceResource, agent: Agent, position: int) -> WorkspaceAgent:
    row = WorkspaceAgent(
        resource=resource,
        name=agent.name,
        auth_instance_id=agent.instance_id,
        architecture=agent.architecture,
        operating_system=agent.operating_system,
        environment_variables=dict(agent.environment),
        startup_script=printable(agent.startup_script, keep_lines=True),
        startup_script_timeout_seconds=agent.startup_script_timeout_seconds,
        shutdown_script=printable(agent.shutdown_script, keep_lines=True),
        shutdown_script_timeout_seconds=agent.shutdown_script_timeout_seconds,
        directory=agent.directory,
        connection_timeout_seconds=agent.connection_timeout_seconds,
        troubleshooting_url=agent.troubleshooting_url,
        motd_file=agent.motd_file,
        login_before_ready=agent.login_before_ready,
        instance_key=agent.instance_key,
        position=position,
    )
    # At plan time the token is unknown.
    with suppress(ValueError):
        row.hashed_token = hash_of_token(uuid.UUID(agent.auth_token))
    return row


def _app(agent: WorkspaceAgent, app: App) -> WorkspaceApp:
    return WorkspaceApp(
        agent=agent,
        slug=app.slug,
        display_name=app.display_name,
        icon=app.icon,
        command=app.command,
        url=app.url,
        external=app.external,
        subdomain=app.subdomain,
        sharing_level=app.sharing_level,
        healthcheck_url=app.healthcheck.url,
        healthcheck_interval=app.healthcheck.interval,
        healthcheck_threshold=app.healthcheck.threshold,
        instance_key=app.instance_key,
        health=AppHealth.INITIALIZING if app.healthcheck.url else AppHealth.DISABLED,
    )
