"""The ``coder/coder`` provider: agents, apps, metadata, parameters and the workspace they belong to.

The semantics follow the 0.6 series. All values come from the constructor, never from the environment.
"""

import platform
import sys
import uuid
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from provisioning.engine.base import RichParameter, Transition, WorkspaceContext
from provisioning.engine.provider.base import Object, Provider, blocks_of
from provisioning.engine.provider.coder_schema import CONFIGURATION, DATA_SOURCES, RESOURCES
from provisioning.engine.provider.diagnostics import Diagnostic, DiagnosticError
from provisioning.engine.provider.init_scripts import init_script
from provisioning.engine.provider.made_up import MadeUp
from provisioning.engine.provider.parameter import declaration_faults, given_value_faults, rich_parameter
from provisioning.engine.provider.values import UNKNOWN, is_set

# Resources of this provider describe other resources; they do not belong to a workspace.
CODER_RESOURCE_TYPES: Final = frozenset(RESOURCES)

DEFAULT_NAME: Final = "default"
NIL_UUID: Final = str(uuid.UUID(int=0))

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
# Ids of data sources are derived from their content, so that the same plan has the same ids.
_NAMESPACE: Final = uuid.UUID("6d3cdb11-3f0e-4a6c-8f52-5c1f5d8b1a77")


class CoderProvider(Provider):
    """The coder provider for one plan or apply.

    ``rich_parameter_values`` are by parameter name. A parameter without a value has its default, or ``""`` if it is
    required, so a missing value never fails a plan. ``git_auth_tokens`` are by provider id.
    ``parameter_recorder`` is called with every parameter that is read, from several threads and in no particular order.
    ``plan_agent_ids`` gives new agents an id in the plan, which shows the agent that an expression chooses for an app.
    Such a plan cannot be applied: Terraform plans each resource again when it applies, and expects the same id.
    ``made_up`` names what stubs made up, which is not checked.
    """

    configuration = CONFIGURATION
    resources = RESOURCES
    data_sources = DATA_SOURCES

    def __init__(
        self,
        context: WorkspaceContext,
        rich_parameter_values: Mapping[str, str] | None = None,
        *,
        git_auth_tokens: Mapping[str, str] | None = None,
        find_init_script: Callable[[str, str], str | None] = init_script,
        parameter_recorder: Callable[[RichParameter], None] | None = None,
        plan_agent_ids: bool = False,
        made_up: MadeUp | None = None,
    ) -> None:
        self._made_up = made_up or MadeUp()
        self._plan_agent_ids = plan_agent_ids
        self._context = context
        self._rich_parameter_values = dict(rich_parameter_values or {})
        self._git_auth_tokens = dict(git_auth_tokens or {})
        self._find_init_script = find_init_script
        self._record_parameter = parameter_recorder or (lambda _parameter: None)
        self._workspace_id = context.workspace_id or str(uuid.uuid4())
        self._access_url = context.access_url

    # ------------------------------------------------------------------ hooks
    def configure(self, configuration: Object) -> None:
        url = configuration.get("url")
        if is_set(url) and url:
            self._access_url = url

    def validate_resource(self, type_name: str, config: Object) -> list[Diagnostic]:
        config = self._made_up.without_guesses(config)
        found = super().validate_resource(type_name, config)
        if type_name == "coder_metadata":
            found += _duplicate_items(config)
        return found

    def validate_data_source(self, type_name: str, config: Object) -> list[Diagnostic]:
        config = self._made_up.without_guesses(config, is_parameter=type_name == "coder_parameter")
        found = super().validate_data_source(type_name, config)
        if type_name == "coder_parameter" and not found:
            found += declaration_faults(config)
        elif type_name == "coder_secret" and config.get("env") is None and config.get("file") is None:
            found.append(Diagnostic("Missing env or file", "A coder_secret needs env or file.", ("env",)))
        return found

    def plan(self, type_name: str, proposed: Object) -> Object:
        planned = super().plan(type_name, proposed)
        if self._plan_agent_ids and type_name == "coder_agent" and planned.get("id") is UNKNOWN:
            planned["id"] = str(uuid.uuid4())
        if type_name == "coder_ai_task":
            planned |= {"enabled": False, "prompt": ""}
        return planned

    def apply(self, type_name: str, planned: Object) -> Object:
        state = super().apply(type_name, planned)
        if type_name == "coder_agent":
            state["token"] = state.get("token") or str(uuid.uuid4())
            state["init_script"] = self._init_script(state) or ""
        elif "subagent_id" in self.resources[type_name].attributes:
            state["subagent_id"] = state.get("subagent_id") or str(uuid.uuid4())
        elif type_name == "coder_metadata":
            for _, _, item in blocks_of(self.resources[type_name], state):
                item["is_null"] = item.get("value") is None
        return state

    def read(self, type_name: str, state: Object) -> Object:
        if type_name != "coder_agent":
            return state
        # The access URL can have changed since the agent was created.
        script = self._init_script(state)
        return state if script is None else {**state, "init_script": script}

    def read_data_source(self, type_name: str, config: Object) -> Object:
        match type_name:
            case "coder_workspace":
                values = self._workspace()
            case "coder_workspace_owner":
                values = self._owner()
            case "coder_provisioner":
                values = _provisioner()
            case "coder_git_auth" | "coder_external_auth":
                values = {"access_token": self._git_auth_tokens.get(config["id"], "")}
            case "coder_parameter":
                values = self._parameter(config)
            case "coder_secret":
                # Secrets of users are not stored here; the provider documents an empty value as missing.
                values = {"id": _stable_id(type_name, config["env"] or config["file"]), "value": ""}
            case "coder_task":
                values = {"id": "", "enabled": False, "prompt": ""}
            case _:
                values = {"id": _stable_id(type_name, config.get("name") or "")}
        return config | values

    # ------------------------------------------------------------------ values
    def _workspace(self) -> Object:
        context = self._context
        transition = "destroy" if context.transition is Transition.DELETE else context.transition.value
        return {
            "id": self._workspace_id,
            "name": context.workspace_name or DEFAULT_NAME,
            "owner": context.owner or DEFAULT_NAME,
            "owner_email": context.owner_email,
            "owner_id": context.owner_id or NIL_UUID,
            "transition": transition,
            "start_count": 1 if context.transition is Transition.START else 0,
            "access_url": self._access_url,
            "access_port": _port(self._access_url),
            "template_id": "",
            "template_name": "",
            "template_version": "",
            "is_prebuild": False,
            "is_prebuild_claim": False,
            "prebuild_count": 0,
            "owner_name": context.owner or DEFAULT_NAME,
            "owner_groups": [],
            "owner_oidc_access_token": "",
            "owner_session_token": "",
        }

    def _owner(self) -> Object:
        context = self._context
        return {
            "id": context.owner_id or NIL_UUID,
            "name": context.owner or DEFAULT_NAME,
            "full_name": context.owner or DEFAULT_NAME,
            "email": context.owner_email,
            "groups": [],
            "login_type": "",
            "oidc_access_token": "",
            "rbac_roles": [],
            "session_token": "",
            "ssh_private_key": "",
            "ssh_public_key": "",
        }

    def _parameter(self, config: Object) -> Object:
        name = config["name"]
        given = self._rich_parameter_values.get(name)
        if given is not None:
            faults = tuple(given_value_faults(self._made_up.without_guesses(config, is_parameter=True), given))
            if faults:
                raise DiagnosticError(*faults)
        self._record_parameter(rich_parameter(config))
        default = config.get("default")
        validations = [
            rules | {"min_disabled": rules.get("min") is None, "max_disabled": rules.get("max") is None}
            for rules in config.get("validation") or []
        ]
        return {
            "id": _stable_id("coder_parameter", name),
            "value": given if given is not None else default or "",
            "optional": default is not None,
            "validation": validations,
        }

    def _init_script(self, agent: Object) -> str | None:
        script = self._find_init_script(agent["os"], agent["arch"])
        if script is None:
            return None
        return script.replace("${ACCESS_URL}", f"{self._access_url.rstrip('/')}/").replace(
            "${AUTH_TYPE}", agent["auth"]
        )


def _provisioner() -> Object:
    machine = platform.machine().lower()
    system = {"win32": "windows"}.get(sys.platform, sys.platform)
    architecture = _ARCHITECTURES.get(machine, machine)
    return {"id": _stable_id(system, architecture), "os": system, "arch": architecture}


def _stable_id(kind: str, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{kind}\0{name}"))


def _port(url: str) -> int:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return port or (443 if parts.scheme == "https" else 80)


def _duplicate_items(config: Object) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    seen: set[str] = set()
    for name, index, item in blocks_of(RESOURCES["coder_metadata"], config):
        key = item.get("key")
        if key is UNKNOWN or key is None:
            continue
        if key in seen:
            found.append(
                Diagnostic(
                    "Duplicate metadata key",
                    f'More than one item of this coder_metadata has the key "{key}".',
                    (name, index, "key"),
                )
            )
        seen.add(key)
    return found
