"""The job kind of workspaces: builds. No Django: runners import this module."""

from provisioning.engine.base import BuildInput, BuildResult, ParameterValue, Stage
from provisioning.protocol.kinds import JobKind, RunningJob, Shape

BUILD_TYPE = "workspace_build"


def run_build(job: RunningJob, given: BuildInput) -> BuildResult:
    """Plan and apply the transition of a workspace."""
    result = job.engine.build(
        job.directory,
        given,
        log=job.log,
        stop=job.stop,
        save_state=job.store_state,
        approve=job.commit_cost if given.commits_cost else None,
    )
    job.measure("build")
    return result


def values_of(given: BuildInput) -> tuple[ParameterValue, ...]:
    return given.plan.parameter_values


# Not repeatable: it may have applied changes.
BUILD = JobKind(
    type=BUILD_TYPE,
    label="Workspace build",
    choice_label="Build",
    # The second stage of an apply depends on the transition.
    # The cost of a plan is committed where there are budgets.
    stages=(
        Stage.SETTING_UP,
        Stage.PLANNING,
        Stage.QUOTA,
        Stage.STARTING,
        Stage.STOPPING,
        Stage.DESTROYING,
        Stage.CLEANING_UP,
    ),
    payload=Shape("build_input", BuildInput),
    prepare="templates_app.workspaces.services.jobs.build_input",
    values=values_of,
    run=run_build,
    result=Shape("built", BuildResult),
    completed="templates_app.workspaces.services.jobs.build_completed",
    cost_planned="templates_app.workspaces.services.quota.commit",
    state_found="templates_app.workspaces.services.jobs.state_found",
    changed="templates_app.workspaces.services.jobs.build_changed",
    cancelable="templates_app.workspaces.services.builds.cancelable",
    applies=True,
    counts_as_run=True,
)

KINDS = [BUILD]
