"""Charts: round scales, gaps, descriptions for screen readers."""

from datetime import date, timedelta
from xml.etree import ElementTree as ET

import pytest

from coderproj.console.charts import Series, line_chart, sparkline, ticks_up_to

DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(30)]


@pytest.mark.parametrize(
    ("greatest", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 0.25, 0.5, 0.75, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6, 8]),
        (42, [0, 20, 40, 60]),
        (100, [0, 25, 50, 75, 100]),
    ],
)
def test_scales_end_at_round_numbers_above_the_maximum(greatest, ticks):
    assert ticks_up_to(greatest) == ticks


def test_chart_is_well_formed_and_described():
    chart = line_chart([Series("users", list(range(30)))], DAYS, 'Users & "others"')
    svg = ET.fromstring(chart)
    assert svg.get("aria-label") == 'Users & "others"'
    assert svg.get("role") == "img"
    assert len(svg.findall("g")) == 30
    assert "style=" not in chart
    tips = [text.text for text in svg.iter("text") if "tip" in (text.get("class") or "")]
    assert tips[0] == "Sun 1 Nov: 0"
    assert tips[-1] == "Mon 30 Nov: 29"


def test_days_without_a_value_are_bridged_and_described_as_none():
    values: list[float | None] = [None, 2.0, None, 4.0]
    chart = line_chart(
        [Series("p50", values), Series("p95", values)], DAYS[:4], "Times", text=lambda value: f"{value} s"
    )
    svg = ET.fromstring(chart)
    tips = [text.text for text in svg.iter("text") if "tip" in (text.get("class") or "")]
    assert tips == [
        "Sun 1 Nov: none",
        "Mon 2 Nov: p50 2.0 s, p95 2.0 s",
        "Tue 3 Nov: none",
        "Wed 4 Nov: p50 4.0 s, p95 4.0 s",
    ]


def test_weekends_are_shaded():
    svg = ET.fromstring(line_chart([Series("users", [1] * 30)], DAYS, "Users"))
    assert len([rect for rect in svg.iter("rect") if rect.get("class") == "weekend"]) == 9


def test_sparkline_of_zeros_is_a_dash():
    assert "svg" not in sparkline([0, 0, 0], "nothing")
    assert "svg" not in sparkline([], "nothing")
    assert 'aria-label="some &lt;b&gt;"' in sparkline([0, 1], "some <b>")


def test_names_of_series_are_escaped():
    chart = line_chart(
        [Series("a <b>", [1.0, 2.0]), Series('"&', [2.0, 3.0])], DAYS[:2], "Times", text=lambda value: f"<{value:g}>"
    )
    tips = [text.text for text in ET.fromstring(chart).iter("text") if "tip" in (text.get("class") or "")]
    assert tips == ['Sun 1 Nov: a <b> <1>, "& <2>', 'Mon 2 Nov: a <b> <2>, "& <3>']
