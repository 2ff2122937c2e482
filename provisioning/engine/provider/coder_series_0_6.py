"""The schemas of the ``coder/coder`` provider in its 0.6 series, which our semantics follow.

The attributes at the top are also used by the additions of later series, in ``coder_schema.py``.
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

ID: Final = Attribute(presence=Presence.OPTIONAL_COMPUTED)
STRINGS: Final = ["map", "string"]


def number(
    *, presence: Presence = Presence.OPTIONAL, default: int | None = None, minimum: int | None = None
) -> Attribute:
    """Return an attribute whose value is a whole number, of at least ``minimum`` if that is given."""
    return Attribute("number", presence, default=default, check=whole_number(minimum))


_REQUIRED: Final = Presence.REQUIRED
PARAMETER_TYPES: Final = ("string", "number", "bool", "list(string)")

RESOURCES: Final[Mapping[str, Schema]] = {
    "coder_agent": Schema(
        {
            "id": ID,
            "os": required(check=one_of("linux", "darwin", "windows")),
            "arch": required(check=one_of("amd64", "armv7", "arm64")),
            "auth": optional(
                default="token",
                check=one_of("token", "google-instance-identity", "aws-instance-identity", "azure-instance-identity"),
            ),
            "token": computed(sensitive=True),
            "init_script": computed(),
            "dir": optional(),
            "env": optional(STRINGS),
            "startup_script": optional(),
            "startup_script_timeout": number(default=300, minimum=1),
            "shutdown_script": optional(),
            "shutdown_script_timeout": number(default=300, minimum=1),
            "connection_timeout": number(default=120, minimum=0),
            "troubleshooting_url": optional(check=url),
            "motd_file": optional(),
            "login_before_ready": optional("bool", default=True),
            "delay_login_until_ready": optional("bool", default=False),
        }
    ),
    "coder_agent_instance": Schema({"id": ID, "agent_id": required(), "instance_id": required()}),
    "coder_app": Schema(
        {
            "id": ID,
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
                        "interval": number(presence=_REQUIRED),
                        "threshold": number(presence=_REQUIRED),
                    }
                ),
                Nesting.SET,
                max_items=1,
            )
        },
    ),
    "coder_metadata": Schema(
        {
            "id": ID,
            "resource_id": required(),
            "hide": optional("bool"),
            "icon": optional(check=url),
            "daily_cost": number(),
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

DATA_SOURCES: Final[Mapping[str, Schema]] = {
    "coder_workspace": Schema(
        {
            "id": ID,
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
    "coder_provisioner": Schema({"id": ID, "os": computed(), "arch": computed()}),
    "coder_git_auth": Schema({"id": required(), "access_token": computed()}),
    "coder_parameter": Schema(
        {
            "id": ID,
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
                )
            ),
            "validation": NestedBlock(
                Schema({"min": number(), "max": number(), "regex": optional(), "error": optional()}),
                max_items=1,
            ),
        },
    ),
}
