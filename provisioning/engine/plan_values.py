"""Convert single entries of a plan or state to the engine's data classes.

Terraform's JSON omits unknown values and contains null for unset attributes and ``[]`` for unset nested blocks. Values
marked as sensitive are replaced, unless the caller needs them to run a workspace.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from .base import (
    Agent,
    App,
    AppHealthcheck,
    EngineError,
    ResourceMetadata,
    RichParameter,
    RichParameterOption,
    SharingLevel,
)
from .provider.made_up import PLACEHOLDER_SIGNS

SENSITIVE_VALUE = "(sensitive value)"

_SLUG = re.compile(r"[a-z0-9](-?[a-z0-9])*")

# Attributes with the instance type and the instance id, by type of machine.
INSTANCE_TYPE_ATTRIBUTES = {
    "google_compute_instance": "machine_type",
    "aws_instance": "instance_type",
    "aws_spot_instance_request": "instance_type",
    "azurerm_linux_virtual_machine": "size",
    "azurerm_windows_virtual_machine": "size",
}
INSTANCE_ID_ATTRIBUTES = {
    "google_compute_instance": "instance_id",
    "aws_instance": "id",
    "aws_spot_instance_request": "spot_instance_id",
    "azurerm_linux_virtual_machine": "virtual_machine_id",
    "azurerm_windows_virtual_machine": "virtual_machine_id",
}


@dataclass(frozen=True, slots=True)
class Values:
    """Attributes of a resource or nested block, with Terraform's marks for sensitive values.

    ``marks`` has the structure of ``attributes``, with True for each sensitive value; True alone marks everything.
    """

    attributes: dict[str, Any]
    marks: Any
    reveal: bool = False

    def is_sensitive(self, name: str) -> bool:
        """True if the attribute or a part of it must not be shown."""
        mark = self.marks.get(name) if isinstance(self.marks, dict) else self.marks
        return not self.reveal and _has_mark(mark)

    def raw(self, name: str) -> Any:
        """Return the value even if it is sensitive; None if unset or unknown."""
        return self.attributes.get(name)

    def text(self, name: str, default: str = "") -> str:
        value = self.attributes.get(name)
        if value is None:
            return default
        if self.is_sensitive(name):
            return SENSITIVE_VALUE
        return value if isinstance(value, str) else str(value)

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self.attributes.get(name)
        return value if isinstance(value, bool) else default

    def integer(self, name: str) -> int:
        value = self.attributes.get(name)
        return whole(name, value) if isinstance(value, int | float) and not self.is_sensitive(name) else 0

    def texts(self, name: str) -> dict[str, str]:
        """Return a map of texts."""
        values = self.attributes.get(name)
        if not isinstance(values, dict):
            return {}
        marks = self.marks.get(name) if isinstance(self.marks, dict) else self.marks
        entries = Values(values, marks if marks is not None else {}, self.reveal)
        return {key: entries.text(key) for key in values}

    def blocks(self, name: str) -> "Iterator[Values]":
        """Yield the nested blocks of a type."""
        found = self.attributes.get(name)
        marks = self.marks.get(name) if isinstance(self.marks, dict) else self.marks
        for index, block in enumerate(found if isinstance(found, list) else ()):
            mark = marks
            if isinstance(marks, list):
                mark = marks[index] if index < len(marks) else {}
            if isinstance(block, dict):
                yield Values(block, mark or {}, self.reveal)


def whole(name: str, value: float) -> int:
    """Return a number without its fraction. Raises EngineError for a number that JSON readers take for infinite."""
    try:
        return int(value)
    except OverflowError:
        raise EngineError(f"the number {name} is too large") from None


def _has_mark(mark: Any) -> bool:
    if isinstance(mark, dict):
        return any(_has_mark(inner) for inner in mark.values())
    if isinstance(mark, list):
        return any(_has_mark(inner) for inner in mark)
    return mark is True


def agent(name: str, values: Values) -> Agent:
    """Convert a ``coder_agent``, without its apps. Its token and id are known only after an apply."""
    behavior = values.text("startup_script_behavior")
    login_before_ready = values.boolean("login_before_ready", default=True)
    if behavior:
        login_before_ready = behavior != "blocking"
    auth = values.text("auth", "token")
    return Agent(
        name=name,
        operating_system=values.text("os"),
        architecture=values.text("arch"),
        directory=values.text("dir"),
        environment=values.texts("env"),
        startup_script=values.text("startup_script"),
        auth=auth,
        auth_token=values.text("token") if values.reveal and auth == "token" else "",
        connection_timeout_seconds=values.integer("connection_timeout"),
        startup_script_timeout_seconds=values.integer("startup_script_timeout"),
        login_before_ready=login_before_ready,
        troubleshooting_url=values.text("troubleshooting_url"),
        motd_file=values.text("motd_file"),
        shutdown_script=values.text("shutdown_script"),
        shutdown_script_timeout_seconds=values.integer("shutdown_script_timeout"),
    )


def app(name: str, values: Values) -> App:
    """Convert a ``coder_app``. Raises EngineError if its slug is invalid."""
    slug = values.text("slug") or name
    if any(sign in slug for sign in PLACEHOLDER_SIGNS):
        # A stub made it up; the real slug is known when its provider or module is available.
        slug = name.lower().replace("_", "-").strip("-")
    if not _SLUG.fullmatch(slug):
        raise EngineError(
            f'app "{name}" has the invalid slug "{slug}": '
            "a slug consists of lower-case letters and digits, with single dashes between them"
        )
    share = values.text("share").lower()
    check = next(values.blocks("healthcheck"), Values({}, {}))
    return App(
        slug=slug,
        display_name=values.text("display_name") or values.text("name") or slug,
        command=values.text("command"),
        url=values.text("url"),
        icon=values.text("icon"),
        subdomain=values.boolean("subdomain"),
        external=values.boolean("external"),
        sharing_level=SharingLevel(share) if share in list(SharingLevel) else SharingLevel.OWNER,
        healthcheck=AppHealthcheck(
            url=check.text("url"), interval=check.integer("interval"), threshold=check.integer("threshold")
        ),
    )


def metadata_items(values: Values) -> list[ResourceMetadata]:
    """Return the items of a ``coder_metadata``, without the values of sensitive items."""
    items = []
    for item in values.blocks("item"):
        if item.boolean("is_null"):
            continue
        sensitive = item.boolean("sensitive") or Values(item.attributes, item.marks).is_sensitive("value")
        value = item.raw("value")
        items.append(
            ResourceMetadata(
                key=item.text("key"),
                value=None if sensitive or value is None else str(value),
                sensitive=sensitive,
            )
        )
    return items


def rich_parameter(name: str, values: Values, validation_arguments: Collection[str] | None) -> RichParameter:
    """Convert a ``coder_parameter``.

    ``validation_arguments`` are the names that its ``validation`` block sets. If they are unknown (None), a bound of 0
    counts as set.
    """
    default = values.raw("default")
    if default is not None:
        default = "" if values.is_sensitive("default") else str(default)
    validations = list(values.blocks("validation"))
    rules = validations[0] if len(validations) == 1 else Values({}, {})
    return RichParameter(
        name=values.text("name") or name,
        type=values.text("type", "string"),
        description=values.text("description"),
        mutable=values.boolean("mutable"),
        default_value=default,
        icon=values.text("icon"),
        options=tuple(
            RichParameterOption(
                name=option.text("name"),
                value=option.text("value"),
                description=option.text("description"),
                icon=option.text("icon"),
            )
            for option in values.blocks("option")
        ),
        validation_regex=rules.text("regex"),
        validation_error=rules.text("error"),
        validation_min=_bound(rules, "min", validation_arguments),
        validation_max=_bound(rules, "max", validation_arguments),
        validation_monotonic=rules.text("monotonic"),
        ephemeral=values.boolean("ephemeral"),
    )


def _bound(rules: Values, name: str, arguments: Collection[str] | None) -> int | None:
    value = rules.raw(name)
    if not isinstance(value, int | float) or rules.boolean(f"{name}_disabled") or rules.is_sensitive(name):
        return None
    if arguments is not None and name not in arguments:
        return None
    return whole(name, value)
