"""What a result exceeds is reported by object and field."""

import pytest

from provisioning.engine import bounds
from provisioning.engine.base import (
    MAX_ENTRIES,
    MAX_ICON,
    MAX_SHORT_TEXT,
    Agent,
    App,
    AppHealthcheck,
    EngineError,
    ImportResult,
    ParameterSchema,
    PlanResult,
    Resource,
    ResourceMetadata,
    RichParameter,
    RichParameterOption,
)

LONG = "x" * (MAX_SHORT_TEXT + 1)


def resource(**fields: object) -> PlanResult:
    return PlanResult((Resource("dev", "vm", **fields),))  # type: ignore[arg-type]


def app(**fields: object) -> PlanResult:
    return resource(agents=(Agent("main", apps=(App("code", **fields),)),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (
            app(icon="x" * (MAX_ICON + 1)),
            'resource "dev": agent "main": app "code": the icon has 262145 characters, more than 262144',
        ),
        (app(display_name=LONG), 'app "code": the display_name has 65537 characters, more than 65536'),
        (
            app(healthcheck=AppHealthcheck(interval=2**63)),
            'app "code": the interval is 9223372036854775808, it must be',
        ),
        (resource(daily_cost=-(2**63) - 1), 'resource "dev": the daily_cost is -9223372036854775809'),
        (resource(metadata=(ResourceMetadata("k"),) * (MAX_ENTRIES + 1)), "the metadata has 100001 entries, more than"),
        (resource(metadata=(ResourceMetadata(LONG),)), f'metadata "{"x" * 64}…": the key has 65537 characters'),
        (resource(agents=(Agent("main", environment={"A": "b\0"}),)), "the environment.A contains the character NUL"),
        (
            PlanResult((), (RichParameter("size", options=(RichParameterOption("big", "b", icon="x" * 300_000),)),)),
            'parameter "size": option "big": the icon has 300000 characters',
        ),
        (PlanResult((), (RichParameter("size", validation_min=10**30),)), 'parameter "size": the validation_min is 10'),
    ],
)
def test_the_object_and_the_field_are_named(result, problem) -> None:
    with pytest.raises(EngineError) as failure:
        bounds.check(ImportResult(result, PlanResult()))
    assert str(failure.value).startswith("the job's results cannot be stored: ")
    assert problem in str(failure.value)


def test_variables_are_named() -> None:
    with pytest.raises(EngineError, match='variable "region": the validation_condition has 65537 characters'):
        bounds.check((ParameterSchema("zone"), ParameterSchema("region", validation_condition=LONG)))


def test_the_largest_values_are_accepted() -> None:
    text = "é" * MAX_SHORT_TEXT
    agent = Agent(text, directory=text, startup_script="\0", apps=(App(text, icon="x" * MAX_ICON, url=LONG),))
    metadata = ResourceMetadata(text, "\0")
    bounds.check(resource(agents=(agent,), daily_cost=2**63 - 1, metadata=(metadata,) * 1000))
