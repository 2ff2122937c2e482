"""Rate limits: a sliding minute for each caller and path.

A hit counts in the current minute; of the minute before, the share counts that the sliding window still covers. The
counters are shared by all web processes through a small unlogged table (``identity_rate``), yet a read must stay cheap:
a process counts by itself and reports to the table once in ``limit / REPORTS`` hits of a key, which also tells it what
the others have counted. So most requests cost no query, and the processes together let through at most
``(processes - 1) * limit / REPORTS`` hits too many. Limits on signing in and uploads report every hit and are exact.
A restart of the database forgets the counters, no more.
"""

import hashlib
import ipaddress
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

from coderproj.base.errors import TooManyRequests
from coderproj.identity.authentication import client_of

WINDOW_SECONDS = 60
REPORTS = 16
LOGIN = "login"
UPLOADS = "uploads"

Key = tuple[str, uuid.UUID | str, str]

REPORT_SQL = """
INSERT INTO identity_rate AS rate (key, minute, hits) VALUES (%s, %s, %s)
ON CONFLICT (key, minute) DO UPDATE SET hits = rate.hits + EXCLUDED.hits
RETURNING hits, (SELECT hits FROM identity_rate WHERE key = %s AND minute = %s)
"""
FORGET_SQL = "DELETE FROM identity_rate WHERE minute < %s"


class RateLimited(TooManyRequests):
    """Over the limit. ``wait`` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


class Standing(NamedTuple):
    """Where a caller stands after a hit. ``reset`` is Unix time in seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


@dataclass(slots=True)
class Count:
    """Hits of a key: of all processes in this minute as far as known, of this process since its last report, and of
    all processes in the minute before."""

    shared: int = 0
    pending: int = 0
    before: int = 0


class Counters:
    """The counters of this process. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = 0
        self._counts: dict[Key, Count] = {}
        self._previous: dict[Key, Count] = {}
        self._forget = False

    def hit(self, key: Key, limit: int, *, report_every: int = 1) -> Standing:
        """Count a hit and say whether it is within ``limit`` per minute. A refused hit is not counted locally."""
        now = self._clock()
        minute, elapsed = divmod(now, WINDOW_SECONDS)
        minute = int(minute)
        weight = 1 - elapsed / WINDOW_SECONDS
        report = 0
        with self._lock:
            if minute != self._minute:
                self._turn(minute)
            count = self._counts.get(key)
            if count is None:
                old = self._previous.get(key)
                count = self._counts[key] = Count(before=old.shared + old.pending if old else 0)
            used = int(count.before * weight) + count.shared + count.pending
            if allowed := used < limit:
                used += 1
                count.pending += 1
                if count.pending >= report_every:
                    report, count.pending = count.pending, 0
                    count.shared += report
        if report:
            total, before = self._report(key, minute, report)
            with self._lock:
                count.shared = max(count.shared, total)
                count.before = max(count.before, before)
            used = int(count.before * weight) + total
            allowed = used <= limit
        return Standing(allowed, limit, max(limit - used, 0), (minute + 1) * WINDOW_SECONDS)

    def clear(self) -> None:
        """Forget what this process has counted."""
        with self._lock:
            self._counts, self._previous = {}, {}

    def _turn(self, minute: int) -> None:
        self._previous = self._counts if minute == self._minute + 1 else {}
        self._counts = {}
        self._minute = minute
        self._forget = True

    def _report(self, key: Key, minute: int, hits: int) -> tuple[int, int]:
        """Add hits to the shared counter. Returns all hits of this minute and of the one before."""
        digest = hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=16).digest()
        with connection.cursor() as cursor:
            if self._forget:
                self._forget = False
                cursor.execute(FORGET_SQL, [minute - 1])
            cursor.execute(REPORT_SQL, [digest, minute, hits, digest, minute - 1])
            total, before = cursor.fetchone()
        return total, before or 0


counters = Counters()


def may_try_password(request: HttpRequest, user_id: uuid.UUID | None = None) -> bool:
    """Whether the address of a page's request may try (another) password, or a user their own; counts the try."""
    limit: int = settings.RATELIMIT_LOGIN
    return limit <= 0 or counters.hit((LOGIN, user_id or network_of(request), ""), limit).allowed


def may_upload_now(user_id: uuid.UUID) -> bool:
    """Whether a user may upload (another) archive by a page; counts the upload. API and pages count together."""
    limit: int = settings.RATELIMIT_UPLOADS
    return limit <= 0 or counters.hit((UPLOADS, user_id, ""), limit).allowed


def network_of(request: HttpRequest) -> str:
    """The caller's address; of an IPv6 address the /64, as that is what one customer gets."""
    address = client_of(request).ip or ""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
