"""Random choices, repeatable by a seed."""

import math
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import TypeVar

T = TypeVar("T")
SATURDAY = 5


class Chance(random.Random):
    """Random choices as the data needs them. Nothing of it is a secret."""

    def id(self) -> uuid.UUID:
        return uuid.UUID(int=self.getrandbits(128), version=4)

    def happens(self, share: float) -> bool:
        """Return True with this probability."""
        return self.random() < share

    def around(self, median: float, spread: float = 0.35) -> float:
        """Return a positive number around a median, as durations are: few are much longer."""
        return self.lognormvariate(math.log(median), spread)

    def seconds(self, median: float, spread: float = 0.35) -> timedelta:
        return timedelta(seconds=self.around(median, spread))

    def weighted(self, values: Sequence[T], weights: Sequence[float]) -> T:
        return self.choices(values, weights)[0]

    def clock(self, day: date, begin: float, end: float, zone: tzinfo) -> datetime:
        """Return a time of a day between two hours of a time zone, in UTC."""
        local = datetime.combine(day, time(), zone) + timedelta(hours=self.uniform(begin, end))
        return local.astimezone(UTC)

    def at_work(self, since: datetime, until: datetime) -> datetime:
        """Return a time between two times, in working hours unless both are close to each other."""
        for _ in range(20):
            found = since + (until - since) * self.random()
            if found.weekday() < SATURDAY:
                found = self.clock(found.date(), 7, 17, UTC)
                if since < found < until:
                    return found
        return since + (until - since) * self.random()
