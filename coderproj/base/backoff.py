"""Growing pauses between attempts, for code that waits for a server to come back. No Django here."""

import asyncio
import random
import time
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Counts failures in a row and computes the pause after each, in seconds.

    The first pause is ``first``, each further one is ``factor`` times as long, and none is longer than ``limit``. A
    random part, up to the share ``jitter``, is subtracted: clients that failed together do not return together.
    """

    first: float
    limit: float
    factor: float = 2.0
    jitter: float = 0.2
    failures: int = 0

    @property
    def full_pause(self) -> float:
        """The pause after the latest failure without jitter, 0 if there was no failure."""
        if not self.failures:
            return 0.0
        pause = self.first
        for _ in range(self.failures - 1):
            if pause >= self.limit:
                break
            pause *= self.factor
        return min(pause, self.limit)

    def fail(self) -> float:
        """Count a failure. Return the seconds to pause before the next attempt."""
        self.failures += 1
        return self.full_pause * (1 - random.uniform(0, self.jitter))  # noqa: S311 - spreads load

    def reset(self) -> None:
        """Start again after a success."""
        self.failures = 0

    def sleep(self) -> None:
        """Count a failure and pause the thread."""
        time.sleep(self.fail())

    async def wait(self) -> None:
        """Count a failure and pause the task."""
        await asyncio.sleep(self.fail())
