"""The values of sensitive variables, which must not reach a job's log or error."""

from collections.abc import Iterable
from dataclasses import replace

from provisioning.engine.base import LogLine, ParameterValue

MASK = "********"
# Shorter secrets would mask parts of ordinary words.
SHORTEST_SECRET = 4


class Secrets:
    """Masks the secrets of one job in log lines and errors: the engine masks only its own output."""

    def __init__(self) -> None:
        self._texts: tuple[str, ...] = ()

    def add(self, values: Iterable[ParameterValue]) -> None:
        """Mask the sensitive ones of these values from now on, and each of their lines."""
        found = {
            part
            for value in values
            if value.sensitive
            for part in (value.value, *value.value.splitlines())
            if len(part) >= SHORTEST_SECRET
        }
        self._texts = tuple(sorted({*self._texts, *found}, key=len, reverse=True))

    def mask(self, text: str) -> str:
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return text

    def masked(self, line: LogLine) -> LogLine:
        if not self._texts:
            return line
        return replace(line, stage=self.mask(line.stage), output=self.mask(line.output))
