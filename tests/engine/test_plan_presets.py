"""Converting the presets of a plan."""

import pytest

from provisioning.engine.base import Preset, RichParameter, RichParameterOption
from provisioning.engine.plan_presets import presets_of

from .plan_builder import instance, module, plan

SIZE = RichParameter("size", type="number", validation_min=1, validation_max=8)
ZONE = RichParameter("zone", options=(RichParameterOption("Europe", "eu"), RichParameterOption("Asia", "as")))
NAME = RichParameter("name", validation_regex="^[a-z]+$", validation_error="lower case")


def found(*entries):
    """Return the presets of these data sources, and the warnings."""
    warnings: list[str] = []
    prior = module(*(instance(f"data.coder_workspace_preset.{name}", values) for name, values in entries))
    return presets_of(plan({}, None, prior), (SIZE, ZONE, NAME), warnings.append), warnings


def test_every_field_of_a_preset_is_read() -> None:
    values = {
        "name": "Large",
        "default": True,
        "description": "For builds",
        "icon": "/icon/a.svg",
        "parameters": {"size": "8", "zone": "eu"},
        "prebuilds": [{"instances": 2}],
    }
    large = Preset("Large", {"size": "8", "zone": "eu"}, True, "For builds", "/icon/a.svg", 2)
    assert found(("large", values), ("plain", {"name": "Plain"})) == ((large, Preset("Plain")), [])


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"size": "9"}, 'the parameter "size" is invalid: 9 is more than the maximum 8'),
        ({"size": "many"}, 'the parameter "size" is invalid: "many" is not a number'),
        ({"zone": "us"}, "is not one of the options' values"),
        ({"name": "A"}, 'does not match "^[a-z]+$": lower case'),
        ({"colour": "red"}, 'no parameter "colour"'),
    ],
)
def test_a_preset_that_no_workspace_could_use_is_left_out(parameters, reason) -> None:
    presets, warnings = found(("bad", {"name": "Bad", "parameters": parameters}), ("good", {"name": "Good"}))
    assert [preset.name for preset in presets] == ["Good"]
    assert len(warnings) == 1
    assert 'the preset "Bad" is left out' in warnings[0]
    assert reason in warnings[0]


def test_names_and_the_default_are_unique() -> None:
    default = {"default": True}
    presets, warnings = found(
        ("a", {"name": "A", **default}), ("b", {"name": "B", **default}), ("c", {"name": "A", "description": "other"})
    )
    assert [(preset.name, preset.is_default) for preset in presets] == [("A", True), ("B", False)]
    assert ['"B" is not the default' in warnings[0], "another preset has its name" in warnings[1]] == [True, True]
