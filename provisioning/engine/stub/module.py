"""A module in place of one that cannot be fetched: it takes what it is given and has the outputs that are read.

What the real module would make is not known, so its outputs are placeholders of the shape in which the template looks
into them. One resource stands for all that the module would make: an agent whose values go nowhere else belongs to it.
"""

from typing import Any, Final

from provisioning.engine.hcl import ModuleCall
from provisioning.engine.stub.placeholders import placeholder

STAND_IN: Final = "stand_in"
STAND_IN_ADDRESS: Final = f"terraform_data.{STAND_IN}"

_PROVIDER_ALIAS_SEPARATOR: Final = "."


def stub_module(call: ModuleCall) -> dict[str, Any]:
    """The content of the ``.tf.json`` file that answers for a call."""
    content: dict[str, Any] = {
        "resource": {"terraform_data": {STAND_IN: {"input": [f"${{var.{name}}}" for name in call.arguments]}}},
    }
    if call.arguments:
        content["variable"] = {name: {"default": None} for name in call.arguments}
    if call.outputs:
        content["output"] = {
            # The placeholder does not depend on anything, but its readers depend on what the module is given.
            name: {"value": _as_written(placeholder(hint)[1]), "depends_on": [STAND_IN_ADDRESS]}
            for name, hint in call.outputs.items()
        }
    if call.providers:
        content["terraform"] = {"required_providers": _required_providers(call.providers)}
    return content


def _required_providers(providers: dict[str, str]) -> dict[str, Any]:
    required: dict[str, Any] = {}
    for name, source in providers.items():
        local, _, alias = name.partition(_PROVIDER_ALIAS_SEPARATOR)
        entry = required.setdefault(local, {"source": source})
        if alias:
            entry.setdefault("configuration_aliases", []).append(name)
    return required


def _as_written(value: Any) -> Any:
    """A value as it is written in JSON syntax, where texts are templates."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if isinstance(value, dict):
        return {_as_written(key): _as_written(item) for key, item in value.items()}
    return value
