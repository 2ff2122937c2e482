"""A pytest plugin: which promises a test counts, and what it measured."""

import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.security.promises import PROMISES

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER, FIGURES = "promise", "measured"
# How a figure of several reports becomes one.
COMBINE: dict[str, Callable[[float, float], float]] = {"sum": operator.add, "most": max, "least": min}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--promises", default="", help="run only the tests that count a promise: ids, or all")
    parser.addoption("--promise-report", default="", help="append a line of JSON to this file for each of these tests")


class Measured:
    """What a test measured, under names that the promises' marks use."""

    def __init__(self, item: pytest.Item) -> None:
        self._figures: dict[str, list[Any]] = {}
        item.user_properties.append((FIGURES, self._figures))

    def add(self, **figures: float) -> None:
        """Add to figures that are summed over all tests of a promise. Underscores stand for spaces."""
        for name, value in figures.items():
            self.count(name.replace("_", " "), value)

    def count(self, name: str, value: float) -> None:
        """Add to one figure that is summed over all tests of a promise."""
        self._record("sum", name, value)

    def most(self, name: str, value: float) -> None:
        """Report a figure whose maximum over all tests of a promise counts."""
        self._record("most", name, value)

    def least(self, name: str, value: float) -> None:
        """Report a figure whose minimum over all tests of a promise counts."""
        self._record("least", name, value)

    def _record(self, how: str, name: str, value: float) -> None:
        known = self._figures.get(name)
        self._figures[name] = [how, value if known is None else COMBINE[how](known[1], value)]


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """``measured.add(requests=390)`` reports what the test counted to ``make security``."""
    return Measured(request.node)


class Recorder:
    """Selects tests by promise, and writes the report."""

    def __init__(self, config: pytest.Config) -> None:
        chosen = config.getoption("--promises")
        self._chosen = set(PROMISES) if chosen == "all" else set(filter(None, chosen.split(",")))
        _check(self._chosen, "--promises")
        path = config.getoption("--promise-report")
        self._report = Path(path) if path and not hasattr(config, "workerinput") else None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept, left = [], []
        for item in items:
            ids = set(_ids(item))
            _check(ids, item.nodeid)
            item.user_properties += [(MARKER, one) for one in sorted(ids)]
            (kept if not self._chosen or ids & self._chosen else left).append(item)
        if left:
            config.hook.pytest_deselected(items=left)
            items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        ids = [value for name, value in report.user_properties if name == MARKER]
        if self._report is None or not ids or (report.when != "call" and report.passed):
            return
        row = {
            "test": report.nodeid,
            "outcome": report.outcome,
            "promises": ids,
            "measured": dict(report.user_properties).get(FIGURES, {}),
        }
        with self._report.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _ids(item: pytest.Item) -> "Iterator[Any]":
    for mark in item.iter_markers(MARKER):
        yield from mark.args


def _check(ids: set[Any], where: str) -> None:
    if unknown := ids - set(PROMISES):
        raise pytest.UsageError(f"{where} names unknown promises: {', '.join(map(str, sorted(unknown)))}")
