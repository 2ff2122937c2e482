"""The base class of our providers, with the life cycle of a resource: validate, plan, apply, read, upgrade.

A provider consists of its schemas and a few hooks. Responses declare the "legacy type system", like providers built
with Terraform's older SDK: Terraform then accepts defaults that the template does not contain.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from provisioning.engine.provider import tfplugin6_pb2 as pb
from provisioning.engine.provider.diagnostics import (
    AttributePath,
    Diagnostic,
    DiagnosticError,
    diagnostic_messages,
    path_message,
)
from provisioning.engine.provider.schema import Schema
from provisioning.engine.provider.values import UNKNOWN, Value, decode, encode, is_set

# Attributes and blocks by name.
Object = dict[str, Value]


class Provider:
    """Answers the protocol's calls for ``configuration``, ``resources``, ``data_sources`` and ``ephemeral_resources``.

    ``functions`` are the names of functions, which take any arguments and return a value of any type.

    Subclasses override the hooks. A hook reports errors in the template by raising DiagnosticError. Calls come from
    several threads at once.
    """

    configuration: Schema = Schema()
    resources: Mapping[str, Schema] = {}
    data_sources: Mapping[str, Schema] = {}
    ephemeral_resources: Mapping[str, Schema] = {}
    functions: Collection[str] = ()

    # ------------------------------------------------------------------ hooks
    def configure(self, configuration: Object) -> None:
        """Store the values of the provider block."""

    def validate_resource(self, type_name: str, config: Object) -> list[Diagnostic]:
        """Return the errors in a resource block. Unset values are None, values of other resources can be UNKNOWN."""
        return validate_block(self.resources[type_name], config)

    def validate_data_source(self, type_name: str, config: Object) -> list[Diagnostic]:
        """Return the errors in a data block. Unset values are None, values of resources can be UNKNOWN."""
        return validate_block(self.data_sources[type_name], config)

    def plan(self, type_name: str, proposed: Object) -> Object:
        """Return the planned values of a new resource. Values that are known only after an apply are UNKNOWN."""
        return with_defaults(self.resources[type_name], proposed, computed=UNKNOWN)

    def apply(self, type_name: str, planned: Object) -> Object:
        """Create or update a resource. The result must not contain UNKNOWN."""
        return with_known_values(self.resources[type_name], planned)

    def destroy(self, type_name: str) -> None:
        """Destroy a resource."""

    def read(self, type_name: str, state: Object) -> Object:
        """Return the current state of a resource."""
        return state

    def read_data_source(self, type_name: str, config: Object) -> Object:
        """Return the values of a data source. ``config`` already contains the defaults."""
        return config

    def open_ephemeral_resource(self, type_name: str, config: Object) -> Object:
        """Return the values of an ephemeral resource. ``config`` already contains the defaults."""
        return config

    def call_function(self, name: str) -> Value:
        """Return the result of a function, see ``values.dynamic``."""
        raise NotImplementedError(name)  # Terraform calls only functions of the schema, whose providers define this

    # ------------------------------------------------------------------ protocol
    def get_provider_schema(self, _request: pb.GetProviderSchema.Request) -> pb.GetProviderSchema.Response:
        return pb.GetProviderSchema.Response(
            provider=self.configuration.message(),
            resource_schemas={name: schema.message() for name, schema in self.resources.items()},
            data_source_schemas={name: schema.message() for name, schema in self.data_sources.items()},
            ephemeral_resource_schemas={name: schema.message() for name, schema in self.ephemeral_resources.items()},
            functions={name: _function_message() for name in self.functions},
            # With this Terraform requests the schema once per process instead of each time it connects.
            server_capabilities=pb.ServerCapabilities(get_provider_schema_optional=True),
        )

    def validate_provider_config(
        self, _request: pb.ValidateProviderConfig.Request
    ) -> pb.ValidateProviderConfig.Response:
        return pb.ValidateProviderConfig.Response()

    def configure_provider(self, request: pb.ConfigureProvider.Request) -> pb.ConfigureProvider.Response:
        diagnostics = _collect(lambda: self.configure(_decoded(request.config) or {}))
        return pb.ConfigureProvider.Response(diagnostics=diagnostics)

    def validate_resource_config(
        self, request: pb.ValidateResourceConfig.Request
    ) -> pb.ValidateResourceConfig.Response:
        found = self.validate_resource(request.type_name, _decoded(request.config))
        return pb.ValidateResourceConfig.Response(diagnostics=diagnostic_messages(found))

    def validate_data_resource_config(
        self, request: pb.ValidateDataResourceConfig.Request
    ) -> pb.ValidateDataResourceConfig.Response:
        found = self.validate_data_source(request.type_name, _decoded(request.config))
        return pb.ValidateDataResourceConfig.Response(diagnostics=diagnostic_messages(found))

    def upgrade_resource_state(self, request: pb.UpgradeResourceState.Request) -> pb.UpgradeResourceState.Response:
        state = without_unknown_names(self.resources[request.type_name], json.loads(request.raw_state.json))
        return pb.UpgradeResourceState.Response(upgraded_state=pb.DynamicValue(json=json.dumps(state).encode()))

    def plan_resource_change(self, request: pb.PlanResourceChange.Request) -> pb.PlanResourceChange.Response:
        proposed = _decoded(request.proposed_new_state)
        prior = _decoded(request.prior_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        replaced: list[AttributePath] = []
        if prior is None:
            planned = self.plan(request.type_name, proposed)
        else:
            schema = self.resources[request.type_name]
            planned = with_defaults(schema, proposed)
            replaced = [(name,) for name in replacing_changes(schema, prior, planned)]
        return pb.PlanResourceChange.Response(
            planned_state=_encoded(planned),
            requires_replace=[path_message(path) for path in replaced],
            legacy_type_system=True,
        )

    def apply_resource_change(self, request: pb.ApplyResourceChange.Request) -> pb.ApplyResourceChange.Response:
        planned = _decoded(request.planned_state)
        new_state: Value = None

        def change() -> None:
            nonlocal new_state
            if planned is None:
                self.destroy(request.type_name)
            else:
                new_state = self.apply(request.type_name, planned)

        diagnostics = _collect(change)
        return pb.ApplyResourceChange.Response(
            new_state=request.prior_state if diagnostics else _encoded(new_state),
            diagnostics=diagnostics,
            legacy_type_system=True,
        )

    def read_resource(self, request: pb.ReadResource.Request) -> pb.ReadResource.Response:
        state = _decoded(request.current_state)
        return pb.ReadResource.Response(
            new_state=_encoded(self.read(request.type_name, state)) if state else request.current_state,
            private=request.private,
        )

    def read_data_source_config(self, request: pb.ReadDataSource.Request) -> pb.ReadDataSource.Response:
        config = with_defaults(self.data_sources[request.type_name], _decoded(request.config))
        try:
            state = self.read_data_source(request.type_name, config)
        except DiagnosticError as error:
            return pb.ReadDataSource.Response(diagnostics=diagnostic_messages(error.diagnostics))
        return pb.ReadDataSource.Response(state=_encoded(state))

    def get_functions(self, _request: pb.GetFunctions.Request) -> pb.GetFunctions.Response:
        return pb.GetFunctions.Response(functions={name: _function_message() for name in self.functions})

    def call_provider_function(self, request: pb.CallFunction.Request) -> pb.CallFunction.Response:
        return pb.CallFunction.Response(result=_encoded(self.call_function(request.name)))

    def validate_ephemeral_resource_config(
        self, _request: pb.ValidateEphemeralResourceConfig.Request
    ) -> pb.ValidateEphemeralResourceConfig.Response:
        return pb.ValidateEphemeralResourceConfig.Response()

    def open_ephemeral_resource_config(
        self, request: pb.OpenEphemeralResource.Request
    ) -> pb.OpenEphemeralResource.Response:
        config = with_defaults(self.ephemeral_resources[request.type_name], _decoded(request.config))
        return pb.OpenEphemeralResource.Response(
            result=_encoded(self.open_ephemeral_resource(request.type_name, config))
        )

    def close_ephemeral_resource(
        self, _request: pb.CloseEphemeralResource.Request
    ) -> pb.CloseEphemeralResource.Response:
        return pb.CloseEphemeralResource.Response()

    def stop_provider(self, _request: pb.StopProvider.Request) -> pb.StopProvider.Response:
        return pb.StopProvider.Response()


def validate_block(schema: Schema, config: Object, path: AttributePath = ()) -> list[Diagnostic]:
    """Return the errors that the schema's checks and conflicts find in a block and its nested blocks."""
    found: list[Diagnostic] = []
    for name, attribute in schema.attributes.items():
        value = config.get(name)
        if not is_set(value):
            continue
        fault = attribute.check(value) if attribute.check else None
        if fault:
            found.append(Diagnostic(f"Invalid value for {name}", f"The value of {name} {fault}.", (*path, name)))
        found.extend(
            Diagnostic(
                "Conflicting configuration arguments",
                f"{name} cannot be set together with {other}.",
                (*path, name),
            )
            for other in attribute.conflicts_with
            if is_set(config.get(other))
        )
    for name, index, block in blocks_of(schema, config):
        found += validate_block(schema.blocks[name].schema, block, (*path, name, index))
    return found


def blocks_of(schema: Schema, value: Object) -> Iterator[tuple[str, int, Object]]:
    """Yield name, index and content of a value's known nested blocks."""
    for name in schema.blocks:
        nested = value.get(name)
        if isinstance(nested, list):
            yield from ((name, index, block) for index, block in enumerate(nested) if isinstance(block, dict))


def with_defaults(schema: Schema, value: Object, *, computed: Any = None) -> Object:
    """Return ``value`` with defaults for unset attributes, and ``computed`` for unset computed attributes."""

    def fill(schema: Schema, value: Object) -> Object:
        filled = dict(value)
        for name, attribute in schema.attributes.items():
            if filled.get(name) is None:
                filled[name] = computed if attribute.computed and attribute.default is None else attribute.default
        return filled

    return _map_blocks(schema, value, fill)


def with_known_values(schema: Schema, value: Object) -> Object:
    """Return ``value`` without unknown values: a new random id, null for everything else."""

    def settle(schema: Schema, value: Object) -> Object:
        settled = {name: None if content is UNKNOWN else content for name, content in value.items()}
        if "id" in schema.attributes and settled.get("id") is None:
            settled["id"] = str(uuid.uuid4())
        return settled

    return _map_blocks(schema, value, settle)


def without_unknown_names(schema: Schema, state: Object) -> Object:
    """Return a stored state without attributes and blocks that the schema does not have. This allows reading the
    state of another version of the provider."""

    def prune(schema: Schema, value: Object) -> Object:
        known = {name: content for name, content in value.items() if name in schema.attributes}
        return known | {name: value.get(name) or [] for name in schema.blocks}

    return _map_blocks(schema, state, prune)


def replacing_changes(schema: Schema, prior: Object, planned: Object) -> list[str]:
    """Return the names of changed attributes and blocks that require replacing the resource."""
    names = [name for name, attribute in schema.attributes.items() if attribute.replaces and not attribute.computed]
    return [name for name in (*names, *schema.blocks) if planned.get(name) != prior.get(name)]


def _map_blocks(schema: Schema, value: Object, change: Callable[[Schema, Object], Object]) -> Object:
    """Apply ``change`` to a block and to every nested block."""
    changed = change(schema, value)
    for name, index, block in list(blocks_of(schema, changed)):
        changed[name] = list(changed[name])
        changed[name][index] = _map_blocks(schema.blocks[name].schema, block, change)
    return changed


def _collect(call: Callable[[], None]) -> list[pb.Diagnostic]:
    try:
        call()
    except DiagnosticError as error:
        return diagnostic_messages(error.diagnostics)
    return []


def _function_message() -> pb.Function:
    anything = json.dumps("dynamic").encode()
    return pb.Function(
        variadic_parameter=pb.Function.Parameter(
            name="arguments", type=anything, allow_null_value=True, allow_unknown_values=True
        ),
        result=pb.Function.Return(type=anything),
    )


def _decoded(value: pb.DynamicValue) -> Any:
    return json.loads(value.json) if value.json else decode(value.msgpack)


def _encoded(value: Value) -> pb.DynamicValue:
    return pb.DynamicValue(msgpack=encode(value))
