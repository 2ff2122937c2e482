"""How times are written where programs read them."""

from datetime import UTC, datetime


def moment_text(moment: datetime) -> str:
    """RFC 3339, in UTC with ``Z``, up to microseconds, without zeros at the end of the fraction (contract, times).
    ``json_sql.moment_sql`` is the same in SQL."""
    text = moment.astimezone(UTC).isoformat().removesuffix("+00:00")
    return f"{text.rstrip('0') if moment.microsecond else text}Z"
