"""Rate limits: a sliding window of one minute for each caller and path.

Hits of the current minute count fully; hits of the previous minute count by the share that the window still covers. All
web processes share the counters through a small unlogged table (``identity_rate``). To keep requests cheap, a process
counts in memory and reports to the table once per ``limit / REPORTS`` hits of a key; the report returns the total of
all processes. Most requests therefore need no query, and all processes together allow at most
``(processes - 1) * limit / REPORTS`` excess hits. Limits on sign-ins and uploads report every hit and are exact. After
a crash of the database the counters start at zero.
"""

import hashlib
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
from coderproj.web import addresses
from coderproj.web.environ import NeedsThread

WINDOW_SECONDS = 60
REPORTS = 16
# Keys of a minute in the memory of a process. Beyond that the oldest one is dropped, with its unreported hits.
MAX_COUNTS = 20_000
LOGIN = "login"
UPLOADS = "uploads"
ACCOUNT = "account"

Key = tuple[str, uuid.UUID | str, str]

REPORT_SQL = """
INSERT INTO identity_rate AS rate (key, minute, hits) VALUES (%s, %s, %s)
ON CONFLICT (key, minute) DO UPDATE SET hits = rate.hits + EXCLUDED.hits
RETURNING hits, (SELECT hits FROM identity_rate WHERE key = %s AND minute = %s)
"""
HITS_SQL = "SELECT minute, hits FROM identity_rate WHERE key = %s AND minute >= %s"
DELETE_OLD_SQL = "DELETE FROM identity_rate WHERE minute < %s"


class RateLimited(TooManyRequests):
    """The rate limit is exceeded. ``wait`` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


class RateStatus(NamedTuple):
    """The state of a caller's limit after a hit. ``reset`` is Unix time in seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset: int


@dataclass(slots=True)
class Count:
    """Hits of a key: ``shared`` by all processes in this minute as of the last report, ``pending`` by this process
    since then, ``before`` by all processes in the previous minute."""

    shared: int = 0
    pending: int = 0
    before: int = 0


class Counters:
    """The counters of this process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minute = 0
        self._counts: dict[Key, Count] = {}
        self._previous: dict[Key, Count] = {}
        self._cleanup_due = False

    def hit(self, key: Key, limit: int, *, report_every: int = 1, may_wait: bool = True) -> RateStatus:
        """Count a hit and check it against ``limit`` per minute. A rejected hit is not counted in memory.

        Raises NeedsThread, before it counts, if a report to the table is due and the caller may not wait for it.
        """
        now = self._clock()
        minute, elapsed = divmod(now, WINDOW_SECONDS)
        minute = int(minute)
        weight = 1 - elapsed / WINDOW_SECONDS
        report = 0
        with self._lock:
            if minute != self._minute:
                self._start_minute(minute)
            count = self._counts.get(key)
            if count is None:
                if len(self._counts) >= MAX_COUNTS:
                    del self._counts[next(iter(self._counts))]
                old = self._previous.get(key)
                count = self._counts[key] = Count(before=old.shared + old.pending if old else 0)
            used = int(count.before * weight) + count.shared + count.pending
            if allowed := used < limit:
                is_due = count.pending + 1 >= report_every
                if is_due and not may_wait:
                    raise NeedsThread
                used += 1
                count.pending += 1
                if is_due:
                    report, count.pending = count.pending, 0
                    count.shared += report
        if report:
            total, before = self._report(key, minute, report)
            with self._lock:
                count.shared = max(count.shared, total)
                count.before = max(count.before, before)
            used = int(count.before * weight) + total
            allowed = used <= limit
        return RateStatus(allowed, limit, max(limit - used, 0), (minute + 1) * WINDOW_SECONDS)

    def clear(self) -> None:
        """Reset the counters of this process."""
        with self._lock:
            self._counts, self._previous = {}, {}

    def _start_minute(self, minute: int) -> None:
        self._previous = self._counts if minute == self._minute + 1 else {}
        self._counts = {}
        self._minute = minute
        self._cleanup_due = True

    def _report(self, key: Key, minute: int, hits: int) -> tuple[int, int]:
        """Add hits to the shared counter. Return the hits of all processes in this minute and in the previous one."""
        digest = hashlib.blake2b("\0".join(map(str, key)).encode(), digest_size=16).digest()
        with connection.cursor() as cursor:
            if self._cleanup_due:
                self._cleanup_due = False
                cursor.execute(DELETE_OLD_SQL, [minute - 1])
            cursor.execute(REPORT_SQL, [digest, minute, hits, digest, minute - 1])
            total, before = cursor.fetchone()
        return total, before or 0


counters = Counters()


def password_attempt_allowed(request: HttpRequest, user_id: uuid.UUID | None = None) -> bool:
    """Count a password attempt on a page. Return True if it is within the limit of the user, or of the address without
    ``user_id``."""
    limit: int = settings.RATELIMIT_LOGIN
    return limit <= 0 or counters.hit((LOGIN, user_id or client_network(request), ""), limit).allowed


def require_account_attempt(email: str) -> None:
    """Raise RateLimited if there were too many wrong passwords for this account within a minute, from any address.

    The account need not exist. Sessions and tokens are not affected, so attempts of others do not lock its user out of
    them.
    """
    limit: int = settings.RATELIMIT_ACCOUNT
    if limit <= 0:
        return
    minute, elapsed = divmod(time.time(), WINDOW_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(HITS_SQL, [_account_key(email), int(minute) - 1])
        hits = dict(cursor.fetchall())
    used = int(hits.get(int(minute) - 1, 0) * (1 - elapsed / WINDOW_SECONDS)) + hits.get(int(minute), 0)
    if used >= limit:
        raise RateLimited(WINDOW_SECONDS - elapsed)


def count_wrong_password(email: str) -> None:
    """Count a wrong password for the account, for all processes. Nothing is kept in memory."""
    if settings.RATELIMIT_ACCOUNT > 0:
        minute = int(time.time() // WINDOW_SECONDS)
        key = _account_key(email)
        with connection.cursor() as cursor:
            cursor.execute(DELETE_OLD_SQL, [minute - 1])
            cursor.execute(REPORT_SQL, [key, minute, 1, key, minute - 1])


def _account_key(email: str) -> bytes:
    return hashlib.blake2b(f"{ACCOUNT}\0{email.strip().lower()}".encode(), digest_size=16).digest()


def upload_allowed(user_id: uuid.UUID) -> bool:
    """Count an upload on a page. Return True if it is within the user's limit, which pages and the API share."""
    limit: int = settings.RATELIMIT_UPLOADS
    return limit <= 0 or counters.hit((UPLOADS, user_id, ""), limit).allowed


def client_network(request: HttpRequest) -> str:
    """Return the caller's IPv4 address, or the /64 network of an IPv6 address, because providers assign a /64 per
    customer."""
    return addresses.network(client_of(request).ip or "")
