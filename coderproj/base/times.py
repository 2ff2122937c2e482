"""The time format of the API and other machine-readable output."""

from datetime import UTC, datetime

# What clients read as "never".
ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)


def moment_text(moment: datetime) -> str:
    """Return a time as RFC 3339 in UTC with ``Z``, with up to six fractional digits and no trailing zeros (contract,
    times). ``json_sql.moment_sql`` does the same in SQL."""
    text = moment.astimezone(UTC).isoformat().removesuffix("+00:00")
    return f"{text.rstrip('0') if moment.microsecond else text}Z"
