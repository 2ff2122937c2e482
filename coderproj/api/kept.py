"""Answers that will never change again, kept in memory: those used longest ago make room for new ones."""

import threading
from collections.abc import Hashable
from typing import Any

from cachetools import LRUCache
from django.conf import settings

Row = tuple[Any, ...]


class KeptAnswers:
    """Rows of final reads, whose first column is the answer's JSON, by what was asked. For all threads of a process."""

    def __init__(self, limit: int) -> None:
        """``limit`` is the size of all JSON together, in bytes; 0 keeps nothing."""
        self._rows: LRUCache[Hashable, Row] = LRUCache(limit, getsizeof=lambda row: len(row[0]))
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Row | None:
        with self._lock:
            return self._rows.get(key)

    def keep(self, key: Hashable, row: Row) -> None:
        """One that is larger than an eighth of the limit is not kept: it would push out too many."""
        if len(row[0]) <= self._rows.maxsize // 8:
            with self._lock:
                self._rows[key] = row

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()


KEPT_ANSWERS = KeptAnswers(settings.WEB_KEPT_ANSWERS_MIB * 2**20)
