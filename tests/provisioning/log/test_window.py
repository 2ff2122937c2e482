from datetime import UTC, datetime

import pytest
from django.http import QueryDict

from coderproj.base.errors import Invalid
from provisioning.log.window import LAST_MOMENT, LogWindow, last_event_id, log_window


def window(text: str) -> LogWindow:
    return log_window(QueryDict(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LogWindow()),
        ("after=&before=", LogWindow()),
        ("after=5", LogWindow(after_id=5)),
        ("after=0005&before=-0", LogWindow(after_id=5, before_id=0)),
        ("after=999999999", LogWindow(after_id=999_999_999)),
        ("after=1000000000", LogWindow(after_time=datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC))),
        ("before=99999999999", LogWindow(before_time=datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC))),
        ("before=100000000000", LogWindow(before_time=datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC))),
        ("before=1700000000123", LogWindow(before_time=datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC))),
        ("after=-7", LogWindow(after_id=-1)),
        (f"after={2**63 - 1}&before={-(2**63)}", LogWindow(after_time=LAST_MOMENT, before_id=-1)),
        (f"after={'0' * 5000}7", LogWindow(after_id=7)),
        ("follow", LogWindow(follow=True)),
        ("follow=true&after=3", LogWindow(follow=True, after_id=3)),
        ("follow=false&before=3", LogWindow(before_id=3)),
        ("follow=0", LogWindow()),
        ("follow&before=", LogWindow(follow=True)),
    ],
)
def test_query_parameters_become_a_window(text, expected):
    assert window(text) == expected


@pytest.mark.parametrize("value", ["x", "1.0", "1e3", "+1", "\uff11", "1_0", " 1", "1\n", "-", "--1", "0x1"])
def test_values_that_are_not_integers_are_rejected(value):
    for parse in (lambda: log_window({"after": value}), lambda: last_event_id(value)):
        with pytest.raises(Invalid) as rejected:
            parse()
        assert len(rejected.value.problems) == 1


def test_every_bad_parameter_is_named():
    with pytest.raises(Invalid) as rejected:
        window("after=x&before=y&follow")
    assert [problem.field for problem in rejected.value.problems] == ["after", "before"]


def test_last_event_id_is_parsed_and_capped():
    assert last_event_id("") == 0
    assert last_event_id("12") == 12
    assert last_event_id("9" * 5000) == 2**63 - 1
