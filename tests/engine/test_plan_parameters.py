"""Converting plan and configuration to rich parameters."""

import pytest

from provisioning.engine.base import (
    EngineError,
    RichParameter,
    RichParameterOption,
)
from provisioning.engine.hcl import Module
from provisioning.engine.plan import plan_result

from .plan_builder import configured, instance, module, plan


def parameters(*entries, configuration=None, order=()) -> tuple[RichParameter, ...]:
    prior = module(*(instance(f"data.coder_parameter.{name}", values) for name, values in entries))
    return plan_result(plan({}, configuration, prior), "", Module(parameter_order=order)).rich_parameters


def test_every_field_of_a_parameter_is_read() -> None:
    values = {
        "name": "Size",
        "type": "number",
        "description": "GB",
        "mutable": True,
        "default": "10",
        "icon": "/icon/disk.svg",
        "option": [{"name": "Ten", "value": "10", "description": None, "icon": "/icon/ten.svg"}],
        "validation": [{"min": 1, "max": 100, "regex": None, "error": "1 to 100", "monotonic": "increasing"}],
    }
    assert parameters(("size", values)) == (
        RichParameter(
            name="Size",
            type="number",
            description="GB",
            mutable=True,
            default_value="10",
            icon="/icon/disk.svg",
            options=(RichParameterOption("Ten", "10", icon="/icon/ten.svg"),),
            validation_error="1 to 100",
            validation_min=1,
            validation_max=100,
            validation_monotonic="increasing",
        ),
    )


def test_a_parameter_without_a_default_is_required() -> None:
    found = parameters(("a", {"name": "a", "default": None}), ("b", {"name": "b", "default": ""}))
    assert [parameter.default_value for parameter in found] == [None, ""]


@pytest.mark.parametrize(
    ("rules", "set_in_source", "expected"),
    [
        ({"min": 0, "max": 5}, None, (0, 5)),
        ({"min": None, "max": 5}, None, (None, 5)),
        ({"min": 0, "max": 5}, {"max": {}}, (None, 5)),
        ({"min": 0, "max": 0}, {"regex": {}, "error": {}}, (None, None)),
        ({"min": 0, "max": 0}, {"min": {}, "max": {}}, (0, 0)),
        ({"min": 0, "max": 0, "min_disabled": True, "max_disabled": True}, None, (None, None)),
        ({"min": -(1 << 40), "max": 1 << 40}, None, (-(1 << 40), 1 << 40)),
    ],
)
def test_unset_bounds_are_none(rules, set_in_source, expected) -> None:
    source = [configured("data.coder_parameter.p", validation=[set_in_source])] if set_in_source else []
    (parameter,) = parameters(("p", {"name": "p", "validation": [rules]}), configuration={"resources": source})
    assert (parameter.validation_min, parameter.validation_max) == expected


def test_parameters_are_in_source_order_then_by_name() -> None:
    entries = [(name, {"name": f"n-{name}"}) for name in ("a", "b", "c", "d")]
    order = ("data.coder_parameter.c", "data.coder_parameter.a")
    assert [p.name for p in parameters(*entries, order=order)] == ["n-c", "n-a", "n-b", "n-d"]
    assert [p.name for p in parameters(*reversed(entries))] == ["n-a", "n-b", "n-c", "n-d"]


def test_two_parameters_with_the_same_name_are_an_error() -> None:
    with pytest.raises(EngineError, match='two parameters are named "same"'):
        parameters(("a", {"name": "same"}), ("b", {"name": "same"}))
