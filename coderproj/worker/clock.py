"""Notice that the system's clock was set. No Django here."""

import asyncio
import time
from collections.abc import Callable

WATCH_SECONDS = 1.0
# Corrections by a time service are smaller, or gradual.
JUMP_SECONDS = 2.0


class ClockWatch:
    """Compares the system's clock with one that cannot be set."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.time
        self._offset = self._measured()

    def has_jumped(self) -> bool:
        """Return True if the clock was set since the last call. Also after the machine was asleep."""
        before, self._offset = self._offset, self._measured()
        return abs(self._offset - before) > JUMP_SECONDS

    async def jump(self) -> None:
        """Return when the clock has been set."""
        while not self.has_jumped():
            await asyncio.sleep(WATCH_SECONDS)

    def _measured(self) -> float:
        return self._clock() - time.monotonic()
