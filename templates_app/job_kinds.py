"""The job kinds of templates: imports and dry runs of versions. No Django: runners import this module."""

from dataclasses import replace
from enum import StrEnum

from provisioning.engine.base import (
    EngineError,
    ImportResult,
    LogLevel,
    ParameterValue,
    PlanInput,
    PlanResult,
    Stage,
)
from provisioning.protocol.kinds import JobKind, RunningJob, Shape

MAX_README_BYTES = 1024 * 1024
NO_README = "No README.md provided"

PLAN_INPUT = Shape("plan_input", PlanInput)
PLANNED = Shape("planned", PlanResult)


class JobType(StrEnum):
    IMPORT = "template_version_import"
    DRY_RUN = "template_version_dry_run"


def run_import(job: RunningJob, given: PlanInput) -> ImportResult:
    """Read the template's variables, then plan with their values for start and for stop."""
    _add_readme(job)
    job.open(Stage.PARSING)
    schemas = job.engine.parse(job.directory, log=job.log)
    job.measure("read")
    values = job.compute_values(schemas)
    job.measure("values")
    known = {value.name for value in values}
    for schema in schemas:
        if schema.name not in known and schema.is_required:
            raise EngineError(f"missing parameter: {schema.name}")
    job.open(Stage.PERSISTENT)
    result = job.engine.plan_import(job.directory, replace(given, parameter_values=values), log=job.log, stop=job.stop)
    job.measure("plan")
    return result


def _add_readme(job: RunningJob) -> None:
    paths = sorted(path for path in job.directory.iterdir() if path.name.lower() == "readme.md" and path.is_file())
    if not paths:
        job.open(NO_README, LogLevel.DEBUG)
        return
    job.open(Stage.README)
    if paths[0].stat().st_size > MAX_README_BYTES:
        job.note(LogLevel.WARN, f"{paths[0].name} was left out: it is larger than {MAX_README_BYTES} bytes")
        return
    job.store_readme(paths[0].read_text(encoding="utf-8", errors="replace"))


def run_dry_run(job: RunningJob, given: PlanInput) -> PlanResult:
    """Plan once, with the caller's values."""
    job.open(Stage.PERSISTENT)
    result = job.engine.plan(job.directory, given, log=job.log, stop=job.stop)
    job.measure("plan")
    return result


def values_of(given: PlanInput) -> tuple[ParameterValue, ...]:
    return given.parameter_values


def has_resources(result: PlanResult) -> bool:
    return bool(result.resources)


IMPORT = JobKind(
    type=JobType.IMPORT,
    label="Import",
    stages=(Stage.SETTING_UP, Stage.PARSING, Stage.PERSISTENT, Stage.EPHEMERAL, Stage.CLEANING_UP),
    payload=PLAN_INPUT,
    prepare="templates_app.services.jobs.import_input",
    values=values_of,
    run=run_import,
    result=Shape("imported", ImportResult),
    completed="templates_app.services.jobs.import_completed",
    readme_found="templates_app.services.jobs.readme_found",
    is_repeatable=True,
)
DRY_RUN = JobKind(
    type=JobType.DRY_RUN,
    label="Dry run",
    choice_label="Dry Run",
    stages=(Stage.SETTING_UP, Stage.PERSISTENT, Stage.CLEANING_UP),
    payload=PLAN_INPUT,
    prepare="templates_app.services.jobs.dry_run_input",
    values=values_of,
    run=run_dry_run,
    result=PLANNED,
    completed="templates_app.services.jobs.plan_completed",
    has_followup=has_resources,
    is_repeatable=True,
    counts_as_run=True,
)

KINDS = [IMPORT, DRY_RUN]
