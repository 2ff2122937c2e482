"""Stub for a module that cannot be fetched: it accepts the given arguments and has the outputs that are read.

The resources of the real module are unknown, so its outputs are placeholders in the shape that the template reads. One
resource represents all resources of the module: it gets an agent whose values are used nowhere else.
"""

from typing import Any, Final

from provisioning.engine.hcl import ModuleCall
from provisioning.engine.stub.placeholders import placeholder

STUB_RESOURCE: Final = "stub"
STUB_RESOURCE_ADDRESS: Final = f"terraform_data.{STUB_RESOURCE}"

_PROVIDER_ALIAS_SEPARATOR: Final = "."


def stub_module(call: ModuleCall) -> dict[str, Any]:
    """Return the content of the ``.tf.json`` file that replaces the called module."""
    content: dict[str, Any] = {
        "resource": {"terraform_data": {STUB_RESOURCE: {"input": [f"${{var.{name}}}" for name in call.arguments]}}},
    }
    if call.arguments:
        content["variable"] = {name: {"default": None} for name in call.arguments}
    if call.outputs:
        # Outputs do not depend on the arguments: which of them an output of the real module needs is not known, and an
        # argument can depend on a reader of another output. ``plan_result`` treats the outputs as dependent.
        content["output"] = {name: {"value": _escaped(placeholder(hint)[1])} for name, hint in call.outputs.items()}
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


def _escaped(value: Any) -> Any:
    """Escape a value for JSON syntax, where strings are templates."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return value
