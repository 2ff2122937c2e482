"""Parsing ids in paths and bodies."""

import re
import uuid

from coderproj.base.errors import DomainError

# In a body the nil UUID means "not given".
NIL = uuid.UUID(int=0)
_DASHED = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
UUID_PATTERN = re.compile(
    rf"(?:urn:uuid:)?{_DASHED}|[{{]{_DASHED}[}}]|[0-9a-f]{{32}}",
    re.IGNORECASE | re.ASCII,
)


def parse_uuid(text: str) -> uuid.UUID | None:
    """Return the UUID in any notation that clients use, or None."""
    return uuid.UUID(text) if UUID_PATTERN.fullmatch(text) else None


def path_uuid(name: str, text: str) -> uuid.UUID:
    """Return the UUID of a path parameter. Raises DomainError naming the parameter when it is not a UUID."""
    value = parse_uuid(text)
    if value is None:
        raise DomainError(f"Invalid UUID in path parameter {name!r}.", detail=f"{text[:64]!r} is not a UUID.")
    return value
