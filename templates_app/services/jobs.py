"""The server's part of imports and dry runs: create their payload, and store their results."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from provisioning import parameters, results
from provisioning.engine.base import (
    ImportResult,
    ParameterValue,
    PlanInput,
    PlanResult,
    Transition,
    WorkspaceContext,
)
from provisioning.models import ProvisionerJob
from provisioning.queue.claims import CannotRun, LeasedJob
from templates_app.models import Preset, RichParameter, TemplateVersion

DRY_RUN_NAME = "dryrun"


# ---------------------------------------------------------------------- before a job
def import_input(job: LeasedJob) -> PlanInput:
    """Return the plan input of an import. The values of its variables are computed once the variables are known."""
    name = job.job_input.get("workspace_name") or ""
    context = WorkspaceContext(access_url=settings.ACCESS_URL, workspace_name=name)
    return PlanInput(context=context, rich_parameter_values=_rich_values(job.job_input))


def dry_run_input(job: LeasedJob) -> PlanInput:
    """Return the plan input of a dry run, with its initiator as owner. Raises CannotRun for a missing value."""
    given = job.job_input
    values: tuple[ParameterValue, ...] = ()
    if import_job := given.get("import_job_id"):
        import_job_id = uuid.UUID(import_job)
        own = {value["name"]: value["value"] for value in given.get("parameter_values") or ()}
        computed = parameters.compute(import_job_id, template_id=parameters.template_id_of(given), given=own)
        values = parameters.for_engine(computed)
        if name := parameters.first_missing(import_job_id, values):
            raise CannotRun(f"missing parameter: {name}")
    context = WorkspaceContext(
        transition=Transition.START,
        access_url=settings.ACCESS_URL,
        workspace_id=str(uuid.uuid4()),
        workspace_name=given.get("workspace_name") or DRY_RUN_NAME,
        owner=job.initiator,
        owner_id=str(uuid.uuid4()),
    )
    return PlanInput(context, values, _rich_values(given))


def _rich_values(job_input: Mapping[str, Any]) -> dict[str, str]:
    return {value["name"]: value["value"] for value in job_input.get("rich_parameter_values") or ()}


# ---------------------------------------------------------------------- after a job
def readme_found(job: ProvisionerJob, readme: str) -> None:
    TemplateVersion.objects.filter(job=job).update(readme=readme, updated_at=datetime.now(UTC))


def plan_completed(job: ProvisionerJob, result: PlanResult) -> None:
    transition = job.input.get("transition", Transition.START)
    results.store_resources(job, ((transition, resource) for resource in result.resources))


def import_completed(job: ProvisionerJob, result: ImportResult) -> None:
    """Store the resources of both plans, the rich parameters and presets, and what stubs replaced."""
    plans = ((Transition.START, result.start), (Transition.STOP, result.stop))
    found = ((transition, resource) for transition, plan in plans for resource in plan.resources)
    results.store_resources(job, found)
    version = TemplateVersion.objects.get(job=job)
    version.unverified_providers = list(result.unverified_providers)
    version.unverified_modules = list(result.unverified_modules)
    version.save(update_fields=["unverified_providers", "unverified_modules", "updated_at"])
    RichParameter.objects.bulk_create(
        RichParameter(
            template_version=version,
            index=index,
            name=parameter.name,
            description=parameter.description,
            type=parameter.type,
            mutable=parameter.mutable,
            default_value=parameter.default_value,
            icon=parameter.icon,
            options=[
                {
                    "name": option.name,
                    "description": option.description,
                    "value": option.value,
                    "icon": option.icon,
                }
                for option in parameter.options
            ],
            validation_regex=parameter.validation_regex,
            validation_error=parameter.validation_error,
            validation_min=parameter.validation_min,
            validation_max=parameter.validation_max,
            validation_monotonic=parameter.validation_monotonic,
            ephemeral=parameter.ephemeral,
            instance_key=parameter.instance_key,
        )
        for index, parameter in enumerate(result.start.rich_parameters)
    )
    Preset.objects.bulk_create(
        Preset(
            template_version=version,
            index=index,
            name=preset.name,
            description=preset.description,
            icon=preset.icon,
            is_default=preset.is_default,
            parameters=[{"name": name, "value": value} for name, value in preset.parameters.items()],
            prebuilds=preset.prebuilds,
        )
        for index, preset in enumerate(result.start.presets)
    )
