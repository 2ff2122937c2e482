"""Answers that will never change again, kept in memory: those used longest ago make room for new ones."""

import threading
from collections.abc import Hashable
from typing import Any

from cachetools import LRUCache
from django.conf import settings

Row = tuple[Any, ...]
ENTRY_BYTES = 1024  # that an entry takes besides its JSON: key, row, places in the cache


class KeptAnswers:
    """Rows of final reads, whose first column is the answer's JSON, by what was asked. For all threads of a process."""

    def __init__(self, limit: int) -> None:
        """``limit`` is the size of all together, in bytes; 0 keeps nothing."""
        self.limit = limit
        self._rows: LRUCache[Hashable, Row] = LRUCache(limit, getsizeof=_size)
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Row | None:
        with self._lock:
            try:
                return self._rows[key]
            except KeyError:
                return None

    def keep(self, key: Hashable, row: Row) -> None:
        """One that is larger than an eighth of the limit is not kept: it would push out too many."""
        if _size(row) <= self.limit // 8:
            with self._lock:
                self._rows[key] = row

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()


def _size(row: Row) -> int:
    return ENTRY_BYTES + len(row[0])


KEPT_ANSWERS = KeptAnswers(settings.WEB_KEPT_ANSWERS_MIB * 2**20)
