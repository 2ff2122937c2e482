"""The table of promises: a promise is kept only if tests passed and its figures reach their marks."""

import re
from pathlib import Path

import pytest

from tests.security.__main__ import count
from tests.security.promises import PROMISES, Promise

TESTS = Path(__file__).resolve().parents[1]


def report(outcome="passed", promises=("S1",), **figures):
    """Return a row of the report."""
    figures = {name.replace("_", " "): value for name, value in figures.items()}
    return {"test": f"tests/x.py::test[{outcome}]", "outcome": outcome, "promises": promises, "measured": figures}


def result(monkeypatch, promise, *rows):
    monkeypatch.setitem(PROMISES, promise.id, promise)
    [found] = count([promise.id], rows)
    return found


@pytest.mark.parametrize(
    ("rows", "met", "measured"),
    [
        ([], False, "no test"),
        ([report("skipped")], False, "tests: 1 skipped; tries not measured; leaks not measured"),
        ([report(tries=["sum", 9])], False, "tests: 1 passed; tries 9; leaks not measured"),
        ([report(tries=["sum", 9], leaks=["sum", 0])], False, "tests: 1 passed; tries 9; leaks 0"),
        ([report(tries=["sum", 5], leaks=["sum", 0])] * 2, True, "tests: 2 passed; tries 10; leaks 0"),
        ([report(tries=["most", 5], leaks=["sum", 0])] * 2, False, "tests: 2 passed; tries 5; leaks 0"),
        ([report(tries=["sum", 10], leaks=["sum", 1])], False, "tests: 1 passed; tries 10; leaks 1"),
        (
            [report(tries=["sum", 10], leaks=["sum", 0]), report("failed")],
            False,
            "tests: 1 failed, 1 passed; tries 10; leaks 0",
        ),
        ([report(promises=("S2",), tries=["sum", 10], leaks=["sum", 0])], False, "no test"),
    ],
)
def test_a_promise_is_kept_only_if_its_tests_pass_and_its_marks_are_met(monkeypatch, rows, met, measured):
    found = result(monkeypatch, Promise("S1", "x", {"tries": 10}, {"leaks": 0}), *rows)
    assert (found.met, found.measured) == (met, measured)


def test_a_promise_without_figures_needs_a_test_that_passes(monkeypatch):
    promise = Promise("S1", "x")
    assert not result(monkeypatch, promise).met
    assert not result(monkeypatch, promise, report("skipped")).met
    assert result(monkeypatch, promise, report("skipped"), report()).met


@pytest.mark.parametrize("name", PROMISES)
def test_every_promise_has_a_test(name):
    marked = re.compile(rf"mark\.promise\([^)]*\"{name}\"")
    assert any(marked.search(path.read_text()) for path in TESTS.rglob("*.py") if path != Path(__file__))
