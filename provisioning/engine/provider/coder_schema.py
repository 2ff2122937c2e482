"""The schemas of the ``coder/coder`` provider: those of its 0.6 series, plus the additions of later series.

The two are separate: our semantics follow ``coder_series_0_6.py``, and ``_LATER`` is accepted so that current templates
can be planned. Attributes of ``_LATER`` have no effect, except those that ``coder.py`` handles.
"""

from collections.abc import Mapping
from typing import Final

from provisioning.engine.provider import coder_series_0_6
from provisioning.engine.provider.coder_checks import (
    empty_or,
    environment_name,
    home_or_absolute_path,
    hourly_schedule,
    json_text,
    one_of,
    schedule,
    time_zone,
    url,
)
from provisioning.engine.provider.coder_series_0_6 import ID, STRINGS, number
from provisioning.engine.provider.schema import (
    Attribute,
    NestedBlock,
    Nesting,
    Presence,
    Schema,
    computed,
    optional,
    required,
)

_LIST_OF_STRINGS: Final = ["list", "string"]
_REQUIRED: Final = Presence.REQUIRED

MONOTONIC: Final = ("increasing", "decreasing")
FORM_TYPES: Final = (
    "radio",
    "slider",
    "input",
    "dropdown",
    "checkbox",
    "switch",
    "multi-select",
    "tag-select",
    "textarea",
    "error",
)

_THRESHOLD: Final = {"enabled": required("bool"), "threshold": number(presence=_REQUIRED)}

_LATER_RESOURCES: Final[Mapping[str, Schema]] = {
    "coder_agent": Schema(
        {
            "order": number(),
            "api_key_scope": optional(),
            "startup_script_behavior": optional(),
        },
        {
            "metadata": NestedBlock(
                Schema(
                    {
                        "key": required(),
                        "display_name": optional(),
                        "script": required(),
                        "interval": number(presence=_REQUIRED),
                        "timeout": number(),
                        "order": number(),
                    }
                )
            ),
            "display_apps": NestedBlock(
                Schema(
                    {
                        "vscode": optional("bool", default=True),
                        "vscode_insiders": optional("bool", default=False),
                        "web_terminal": optional("bool", default=True),
                        "port_forwarding_helper": optional("bool", default=True),
                        "ssh_helper": optional("bool", default=True),
                    }
                ),
                Nesting.SET,
                max_items=1,
            ),
            "resources_monitoring": NestedBlock(
                Schema(
                    blocks={
                        "memory": NestedBlock(Schema(_THRESHOLD), Nesting.SET, max_items=1),
                        "volume": NestedBlock(Schema({"path": required(), **_THRESHOLD}), Nesting.SET),
                    }
                ),
                Nesting.SET,
                max_items=1,
            ),
        },
    ),
    "coder_app": Schema(
        {
            "order": number(),
            "group": optional(),
            "hidden": optional("bool", default=False),
            "open_in": optional(default="slim-window"),
            "tooltip": optional(),
        }
    ),
    "coder_script": Schema(
        {
            "id": ID,
            "agent_id": required(),
            "display_name": required(),
            "script": required(),
            "icon": optional(check=url),
            "cron": optional(check=schedule),
            "log_path": optional(),
            "run_on_start": optional("bool", default=False),
            "run_on_stop": optional("bool", default=False),
            "start_blocks_login": optional("bool", default=False),
            "timeout": number(default=0, minimum=0),
        }
    ),
    "coder_env": Schema(
        {
            "id": ID,
            "agent_id": required(),
            "name": required(),
            "value": optional(),
            "merge_strategy": optional(),
        }
    ),
    "coder_devcontainer": Schema(
        {
            "id": ID,
            "agent_id": required(),
            "workspace_folder": required(),
            "config_path": optional(),
            "subagent_id": computed(),
        }
    ),
    "coder_subagent_execution": Schema(
        {
            "id": ID,
            "agent_id": required(),
            "name": required(),
            "driver": required(),
            "driver_protocol": number(default=1, minimum=1),
            "restart_policy": optional(default="on-failure", check=one_of("never", "on-failure")),
            "shared_child_path": required(),
            "shared_host_path": required(),
            "startup_timeout": number(default=120, minimum=1),
            "subagent_id": computed(),
        }
    ),
    "coder_script_order": Schema(
        {"id": ID},
        {
            "rule": NestedBlock(
                Schema(
                    {
                        "run": required(_LIST_OF_STRINGS),
                        "after": optional(_LIST_OF_STRINGS),
                        "state": optional(check=one_of("completes", "starts")),
                    }
                )
            )
        },
    ),
    "coder_external_agent": Schema(
        {"id": ID, "agent_id": optional(), "token": Attribute(sensitive=True)},
    ),
    "coder_ai_task": Schema(
        {"id": ID, "app_id": optional(), "enabled": computed("bool"), "prompt": computed()},
        {"sidebar_app": NestedBlock(Schema({"id": required()}), Nesting.SET, max_items=1)},
    ),
}

_LATER_DATA_SOURCES: Final[Mapping[str, Schema]] = {
    "coder_workspace": Schema(
        {
            "template_id": computed(),
            "template_name": computed(),
            "template_version": computed(),
            "is_prebuild": computed("bool"),
            "is_prebuild_claim": computed("bool"),
            "prebuild_count": computed("number"),
            "owner_name": computed(),
            "owner_groups": computed(_LIST_OF_STRINGS),
            "owner_oidc_access_token": computed(),
            "owner_session_token": computed(),
        }
    ),
    "coder_workspace_owner": Schema(
        {
            "id": ID,
            "name": computed(),
            "full_name": computed(),
            "email": computed(),
            "groups": computed(_LIST_OF_STRINGS),
            "login_type": computed(),
            "oidc_access_token": computed(),
            "rbac_roles": computed(["list", ["object", {"name": "string", "org_id": "string"}]]),
            "session_token": computed(),
            "ssh_private_key": computed(sensitive=True),
            "ssh_public_key": computed(),
        }
    ),
    "coder_parameter": Schema(
        {
            "display_name": optional(),
            "order": number(),
            "ephemeral": optional("bool", default=False),
            "form_type": optional(check=empty_or(one_of(*FORM_TYPES))),
            "styling": optional(check=json_text),
            "optional": computed("bool"),
            "legacy_variable": optional(),
            "legacy_variable_name": optional(),
        },
        {
            "validation": NestedBlock(
                Schema(
                    {
                        "monotonic": optional(check=one_of(*MONOTONIC)),
                        "min_disabled": computed("bool"),
                        "max_disabled": computed("bool"),
                        "invalid": optional("bool"),
                    }
                )
            )
        },
    ),
    "coder_secret": Schema(
        {
            "id": ID,
            "env": optional(check=environment_name, conflicts_with=("file",)),
            "file": optional(check=home_or_absolute_path),
            "help_message": required(),
            "value": computed(sensitive=True),
        }
    ),
    "coder_external_auth": Schema({"id": required(), "optional": optional("bool"), "access_token": computed()}),
    "coder_workspace_preset": Schema(
        {
            "id": ID,
            "name": required(),
            "default": optional("bool"),
            "description": optional(),
            "icon": optional(check=url),
            "parameters": optional(STRINGS),
        },
        {
            "prebuilds": NestedBlock(
                Schema(
                    {"instances": number(presence=_REQUIRED)},
                    {
                        "expiration_policy": NestedBlock(
                            Schema({"ttl": number(presence=_REQUIRED)}), Nesting.SET, max_items=1
                        ),
                        "scheduling": NestedBlock(
                            Schema(
                                {"timezone": required(check=time_zone)},
                                {
                                    "schedule": NestedBlock(
                                        Schema(
                                            {
                                                "cron": required(check=hourly_schedule),
                                                "instances": number(presence=_REQUIRED),
                                            }
                                        )
                                    )
                                },
                            ),
                            max_items=1,
                        ),
                    },
                ),
                Nesting.SET,
                max_items=1,
            )
        },
    ),
    "coder_workspace_tags": Schema({"id": ID, "tags": optional(STRINGS)}),
    "coder_task": Schema({"id": ID, "enabled": computed("bool"), "prompt": computed()}),
}


def _joined(base: Mapping[str, Schema], later: Mapping[str, Schema]) -> dict[str, Schema]:
    nothing = Schema()
    names = (*base, *(name for name in later if name not in base))
    return {name: base.get(name, nothing).extended(later.get(name, nothing)) for name in names}


CONFIGURATION: Final = Schema(
    {"url": optional(check=url), "feature_use_managed_variables": optional("bool", deprecated=True)}
)
RESOURCES: Final = _joined(coder_series_0_6.RESOURCES, _LATER_RESOURCES)
DATA_SOURCES: Final = _joined(coder_series_0_6.DATA_SOURCES, _LATER_DATA_SOURCES)
