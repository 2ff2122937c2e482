"""The job kind of the test app: like a workspace build, a job gets a state and returns another one."""

from dataclasses import dataclass

from provisioning.engine.base import LogLevel, ParameterValue, PlanInput, Stage
from provisioning.protocol.kinds import JobKind, RunningJob, Shape

PACKAGE = "tests.provisioning.queue.toy"
STAGE = "Winding the toy up"


@dataclass(frozen=True, slots=True)
class ToyInput:
    state: bytes
    values: tuple[ParameterValue, ...] = ()


@dataclass(frozen=True, slots=True)
class ToyState:
    state: bytes
    found: int


def run_toy(job: RunningJob, given: ToyInput) -> object:
    """Plan with the engine, then reverse the state. Without a state, return a result of an undeclared type."""
    job.open(STAGE)
    job.note(LogLevel.INFO, f"{len(given.state)} bytes, the secrets are {[value.value for value in given.values]}")
    plan = job.engine.plan(job.directory, PlanInput(), log=job.log, stop=job.stop)
    job.measure("plan")
    return ToyState(given.state[::-1], len(plan.resources)) if given.state else plan


TOY = JobKind(
    type="toy_apply",
    label="Toy",
    stages=(Stage.SETTING_UP, STAGE, "Putting the toy away", Stage.CLEANING_UP),
    payload=Shape("toy", ToyInput),
    prepare=f"{PACKAGE}.jobs.toy_input",
    values=lambda given: given.values,
    run=run_toy,
    result=Shape("toy_state", ToyState),
    completed=f"{PACKAGE}.jobs.toy_completed",
    cancelable=f"{PACKAGE}.jobs.cancelable",
    counts_as_run=True,
)
KINDS = [TOY]
