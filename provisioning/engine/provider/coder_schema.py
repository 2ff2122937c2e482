"""The schemas of the ``coder/coder`` provider: those of its 0.6 series, plus the additions of later series.

The two are separate: our semantics follow ``_SERIES_0_6``, and ``_LATER`` is accepted so that current templates can be
planned. Attributes of ``_LATER`` have no effect, except those that ``coder.py`` handles.
"""

from collections.abc import Mapping
from typing import Final

from provisioning.engine.provider.coder_checks import one_of, slug, url, whole_number
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

_STRINGS: Final = ["map", "string"]
_LIST_OF_STRINGS: Final = ["list", "string"]

MAX_OPTIONS: Final = 64
PARAMETER_TYPES: Final = ("string", "number", "bool", "list(string)")
MONOTONIC: Final = ("increasing", "decreasing")


def _number(
    *, presence: Presence = Presence.OPTIONAL, default: int | None = None, minimum: int | None = None
) -> Attribute:
    return Attribute("number", presence, default=default, check=whole_number(minimum))


_ID: Final = Attribute(presence=Presence.OPTIONAL_COMPUTED)
_REQUIRED: Final = Presence.REQUIRED

# ---------------------------------------------------------------- 0.6
_SERIES_0_6_RESOURCES: Final[Mapping[str, Schema]] = {
    "coder_agent": Schema(
        {
            "id": _ID,
            "os": required(check=one_of("linux", "darwin", "windows")),
            "arch": required(check=one_of("amd64", "armv7", "arm64")),
            "auth": optional(
                default="token",
                check=one_of("token", "google-instance-identity", "aws-instance-identity", "azure-instance-identity"),
            ),
            "token": computed(sensitive=True),
            "init_script": computed(),
            "dir": optional(),
            "env": optional(_STRINGS),
            "startup_script": optional(),
            "startup_script_timeout": _number(default=300, minimum=1),
            "shutdown_script": optional(),
            "shutdown_script_timeout": _number(default=300, minimum=1),
            "connection_timeout": _number(default=120, minimum=0),
            "troubleshooting_url": optional(check=url),
            "motd_file": optional(),
            "login_before_ready": optional("bool", default=True),
            "delay_login_until_ready": optional("bool", default=False),
        }
    ),
    "coder_agent_instance": Schema({"id": _ID, "agent_id": required(), "instance_id": required()}),
    "coder_app": Schema(
        {
            "id": _ID,
            "agent_id": required(),
            # Optional before 0.6.1; the default is the resource's name.
            "slug": optional(check=slug),
            "display_name": optional(),
            "name": optional(conflicts_with=("display_name",), deprecated=True),
            "icon": optional(check=url),
            "url": optional(),
            "command": optional(conflicts_with=("url",)),
            "external": optional("bool", default=False),
            "subdomain": optional("bool"),
            "relative_path": optional("bool", conflicts_with=("subdomain",), deprecated=True),
            "share": optional(default="owner", check=one_of("owner", "authenticated", "public")),
        },
        {
            "healthcheck": NestedBlock(
                Schema(
                    {
                        "url": required(),
                        "interval": _number(presence=_REQUIRED),
                        "threshold": _number(presence=_REQUIRED),
                    }
                ),
                Nesting.SET,
                max_items=1,
            )
        },
    ),
    "coder_metadata": Schema(
        {
            "id": _ID,
            "resource_id": required(),
            "hide": optional("bool"),
            "icon": optional(check=url),
            "daily_cost": _number(),
        },
        {
            "item": NestedBlock(
                Schema(
                    {
                        "key": required(),
                        "value": optional(),
                        "sensitive": optional("bool", default=False),
                        "is_null": computed("bool"),
                    }
                )
            )
        },
    ),
}

_SERIES_0_6_DATA_SOURCES: Final[Mapping[str, Schema]] = {
    "coder_workspace": Schema(
        {
            "id": _ID,
            "name": computed(),
            "owner": computed(),
            "owner_email": computed(),
            "owner_id": computed(),
            "transition": computed(),
            "start_count": computed("number"),
            "access_url": computed(),
            "access_port": computed("number"),
        }
    ),
    "coder_provisioner": Schema({"id": _ID, "os": computed(), "arch": computed()}),
    "coder_git_auth": Schema({"id": required(), "access_token": computed()}),
    "coder_parameter": Schema(
        {
            "id": _ID,
            "name": required(),
            "description": optional(),
            "type": optional(default="string", check=one_of(*PARAMETER_TYPES)),
            "mutable": optional("bool", default=False),
            "default": optional(),
            "icon": optional(check=url),
            "value": computed(),
        },
        {
            "option": NestedBlock(
                Schema(
                    {
                        "name": required(),
                        "value": required(),
                        "description": optional(),
                        "icon": optional(check=url),
                    }
                ),
                max_items=MAX_OPTIONS,
            ),
            "validation": NestedBlock(
                Schema({"min": _number(), "max": _number(), "regex": optional(), "error": optional()}),
                max_items=1,
            ),
        },
    ),
}

# ---------------------------------------------------------------- later
_THRESHOLD: Final = {"enabled": required("bool"), "threshold": _number(presence=_REQUIRED)}

_LATER_RESOURCES: Final[Mapping[str, Schema]] = {
    "coder_agent": Schema(
        {
            "order": _number(),
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
                        "interval": _number(presence=_REQUIRED),
                        "timeout": _number(),
                        "order": _number(),
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
            "order": _number(),
            "group": optional(),
            "hidden": optional("bool", default=False),
            "open_in": optional(default="slim-window"),
            "tooltip": optional(),
        }
    ),
    "coder_script": Schema(
        {
            "id": _ID,
            "agent_id": required(),
            "display_name": required(),
            "script": required(),
            "icon": optional(check=url),
            "cron": optional(),
            "log_path": optional(),
            "run_on_start": optional("bool", default=False),
            "run_on_stop": optional("bool", default=False),
            "start_blocks_login": optional("bool", default=False),
            "timeout": _number(default=0, minimum=0),
        }
    ),
    "coder_env": Schema(
        {
            "id": _ID,
            "agent_id": required(),
            "name": required(),
            "value": optional(),
            "merge_strategy": optional(),
        }
    ),
    "coder_devcontainer": Schema(
        {"id": _ID, "agent_id": required(), "workspace_folder": required(), "config_path": optional()}
    ),
    "coder_external_agent": Schema(
        {"id": _ID, "agent_id": optional(), "token": Attribute(sensitive=True)},
    ),
    "coder_ai_task": Schema(
        {"id": _ID, "app_id": optional(), "enabled": computed("bool"), "prompt": computed()},
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
            "id": _ID,
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
            "order": _number(),
            "ephemeral": optional("bool", default=False),
            "form_type": optional(),
            "styling": optional(),
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
    "coder_external_auth": Schema({"id": required(), "optional": optional("bool"), "access_token": computed()}),
    "coder_workspace_preset": Schema(
        {
            "id": _ID,
            "name": required(),
            "default": optional("bool"),
            "description": optional(),
            "icon": optional(check=url),
            "parameters": optional(_STRINGS),
        },
        {
            "prebuilds": NestedBlock(
                Schema(
                    {"instances": _number(presence=_REQUIRED)},
                    {
                        "expiration_policy": NestedBlock(
                            Schema({"ttl": _number(presence=_REQUIRED)}), Nesting.SET, max_items=1
                        ),
                        "scheduling": NestedBlock(
                            Schema(
                                {"timezone": required()},
                                {
                                    "schedule": NestedBlock(
                                        Schema({"cron": required(), "instances": _number(presence=_REQUIRED)})
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
    "coder_workspace_tags": Schema({"id": _ID, "tags": optional(_STRINGS)}),
    "coder_task": Schema({"id": _ID, "enabled": computed("bool"), "prompt": computed()}),
}


def _joined(base: Mapping[str, Schema], later: Mapping[str, Schema]) -> dict[str, Schema]:
    nothing = Schema()
    names = (*base, *(name for name in later if name not in base))
    return {name: base.get(name, nothing).extended(later.get(name, nothing)) for name in names}


CONFIGURATION: Final = Schema(
    {"url": optional(check=url), "feature_use_managed_variables": optional("bool", deprecated=True)}
)
RESOURCES: Final = _joined(_SERIES_0_6_RESOURCES, _LATER_RESOURCES)
DATA_SOURCES: Final = _joined(_SERIES_0_6_DATA_SOURCES, _LATER_DATA_SOURCES)
