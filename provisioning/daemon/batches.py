"""Batches of log lines for the server."""

from provisioning.engine.base import LogLine

FLUSH_LINES = 500
# Lines can be long, so a batch is also limited in characters.
FLUSH_CHARACTERS = 1024 * 1024


def first_batch(lines: list[LogLine]) -> list[LogLine]:
    """Return the first batch of lines: at least one and at most FLUSH_LINES."""
    size = 0
    for count, line in enumerate(lines[:FLUSH_LINES]):
        size += len(line.output)
        if count and size > FLUSH_CHARACTERS:
            return lines[:count]
    return lines[:FLUSH_LINES]
