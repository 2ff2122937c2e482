"""A cache of final responses. When it is full, the least recently used ones are removed."""

import threading
from collections.abc import Hashable
from typing import Any

from cachetools import LRUCache
from django.conf import settings

Row = tuple[Any, ...]
ENTRY_BYTES = 1024  # bytes of an entry besides its JSON: key, row, overhead of the cache


class AnswerCache:
    """Rows of final reads, whose first column is the JSON of the response. Shared by all threads of a process."""

    def __init__(self, limit: int) -> None:
        """``limit`` is the total size in bytes; 0 turns the cache off."""
        self.limit = limit
        self._rows: LRUCache[Hashable, Row] = LRUCache(limit, getsizeof=_size)
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Row | None:
        with self._lock:
            try:
                return self._rows[key]
            except KeyError:
                return None

    def put(self, key: Hashable, row: Row) -> None:
        """Store a row, unless it is larger than an eighth of the limit and would evict too many others."""
        if _size(row) <= self.limit // 8:
            with self._lock:
                self._rows[key] = row

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()


def _size(row: Row) -> int:
    return ENTRY_BYTES + len(row[0])


ANSWER_CACHE = AnswerCache(settings.WEB_KEPT_ANSWERS_MIB * 2**20)
