"""The rules of a template for its workspaces: days of the week, and the rules as the text that the API writes."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Func, TextChoices, TextField

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EVERY_DAY = 127
MAX_WEEKS = 16
HOUR_MS = 3_600_000


class PortShareLevel(TextChoices):
    """Who may open an app or a port of a workspace at most."""

    OWNER = "owner"
    AUTHENTICATED = "authenticated"
    ORGANIZATION = "organization"
    PUBLIC = "public"


class CorsBehavior(TextChoices):
    SIMPLE = "simple"
    PASSTHRU = "passthru"


def days_of(stored: int) -> list[str]:
    """Return the names of the days, from Monday; bit 0 of ``stored`` is Monday."""
    return [day for number, day in enumerate(WEEKDAYS) if stored & 1 << number]


def stored_days(names: Iterable[str]) -> int:
    """Return the number for these days. Raises ValueError for an unknown name."""
    return sum(1 << number for number in {WEEKDAYS.index(name) for name in names})


def _days_sql(column: str) -> str:
    names = " || ".join(
        f"CASE WHEN {column} & {1 << number} > 0 THEN ',\"{day}\"' ELSE '' END" for number, day in enumerate(WEEKDAYS)
    )
    return f"'{{\"days_of_week\":[' || ltrim({names}, ',') || ']'"


def _word(column: str) -> str:
    return f"'\"' || {column} || '\"'"


# The members of a template that RulesText writes, in their order, with their SQL. Texts need no escapes: a constraint
# allows only the choices.
WRITTEN = {
    "activity_bump_ms": "activity_bump_ms::text",
    "autostop_requirement": f"{_days_sql('autostop_days')} || ',\"weeks\":' || autostop_weeks::text || '}}'",
    "autostart_requirement": f"{_days_sql('autostart_days')} || '}}'",
    "allow_user_autostart": "allow_user_autostart::text",
    "allow_user_autostop": "allow_user_autostop::text",
    "failure_ttl_ms": "failure_ttl_ms::text",
    "time_til_dormant_ms": "time_til_dormant_ms::text",
    "time_til_dormant_autodelete_ms": "time_til_dormant_autodelete_ms::text",
    "require_active_version": "require_active_version::text",
    "deprecated": "(deprecation_message <> '')::text",
    "max_port_share_level": _word("max_port_share_level"),
    "use_classic_parameter_flow": "use_classic_parameter_flow::text",
    "cors_behavior": _word("cors_behavior"),
    "agents_allowed": "agents_allowed::text",
}


class RulesText(Func):
    """The rules as members of a JSON object, without the name of the first one. PostgreSQL writes it when the template
    changes, so reads copy one column instead of building fourteen members.

    Migrations refer to this class. A change of WRITTEN needs a migration that makes the column again.
    """

    output_field = TextField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        first, *others = WRITTEN
        text = " || ".join([WRITTEN[first], *(f"',\"{name}\":' || {WRITTEN[name]}" for name in others)])
        return f"({text})", []
