"""Charts as SVG, made by the server. No style attributes, no script: colours come from the style sheet's classes.

Texts and markers live in percent of the width, lines in a stretched box of their own, so that a chart fits any width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

TOP = 16
BOTTOM = 22
HEIGHT = 190
DATE_LABELS = 4
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: one value for each day; None where there is none to show."""

    name: str
    values: Sequence[float | None]

    @property
    def greatest(self) -> float:
        return max((value for value in self.values if value is not None), default=0)


@dataclass(frozen=True, slots=True)
class Card:
    """A chart of days with its numbers as a table, for ``console/_chart_card.html``.

    ``rows`` are the days with the texts of their ``columns``, newest first; without any there is no table. ``lines``
    are the names of the chart's lines where it has several, else ``note`` says what it shows. Without a ``chart``,
    ``none`` says why, and ``none_link`` leads on to ``none_url`` where there is one."""

    key: str
    title: str
    chart: SafeString | str
    summary: str
    columns: Sequence[str]
    rows: Sequence[tuple[date, Sequence[object]]]
    lines: Sequence[str] = ()
    note: str = ""
    none: str = ""
    none_url: str = ""
    none_link: str = ""


def plain(value: float) -> str:
    return f"{value:g}"


def ticks_up_to(greatest: float, count: int = 4) -> list[float]:
    """Round values from 0 to at least ``greatest``."""
    if greatest <= 0:
        return [0, 1]
    raw = greatest / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in STEPS if factor * magnitude >= raw)
    if greatest > count:
        step = max(1.0, float(math.ceil(step)))
    return [step * index for index in range(math.ceil(greatest / step) + 1)]


def sparkline(values: Sequence[float], label: str) -> SafeString:
    """A small line without axes; ``label`` says it in words. A dash where nothing happened."""
    if len(values) < 2 or not max(values):
        return format_html('<span class="muted">{}</span>', "\N{EN DASH}")
    path = mark_safe(_path(values, max(values) * 1.1, 100, 100))  # noqa: S308 - of numbers
    return format_html(
        '<svg class="chart sparkline" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="area-1" d="{} L100 100 L0 100Z"/><path class="line-1" d="{}"/></svg>',
        label,
        path,
        path,
    )


def line_chart(
    series: Sequence[Series], days: Sequence[date], label: str, *, text: Callable[[float], str] = plain
) -> SafeString:
    """Lines over days, weekends shaded, with the values of a day on hovering. ``text`` writes a value."""
    chart = _LineChart(series, days, text)
    return format_html(
        '<svg class="chart" width="100%" height="{}" role="img" aria-label="{}">{}</svg>',
        HEIGHT,
        label,
        format_html_join("", "{}", ((part,) for part in chart.parts())),
    )


class _LineChart:
    def __init__(self, series: Sequence[Series], days: Sequence[date], text: Callable[[float], str]) -> None:
        self.series = series
        self.days = days
        self.text = text
        self.ticks = ticks_up_to(max(line.greatest for line in series))
        self.plot = HEIGHT - TOP - BOTTOM
        self.gap = 100 / max(len(days) - 1, 1)

    def parts(self) -> list[SafeString]:
        return [*self._weekends(), *self._grid(), self._lines(), *self._scale(), *self._dates(), *self._hovers()]

    def _x(self, index: float) -> str:
        return f"{max(index * self.gap, 0):.3f}%"

    def _y(self, value: float) -> str:
        return f"{TOP + self.plot - value / self.ticks[-1] * self.plot:.1f}"

    def _weekends(self) -> list[SafeString]:
        return [
            format_html(
                '<rect class="weekend" x="{}" width="{}%" y="{}" height="{}"/>',
                self._x(index - 0.5),
                f"{self.gap if index else self.gap / 2:.3f}",
                TOP,
                self.plot,
            )
            for index, day in enumerate(self.days)
            if day.weekday() > 4
        ]

    def _grid(self) -> list[SafeString]:
        return [
            format_html('<line class="grid" x1="0" x2="100%" y1="{}" y2="{}"/>', self._y(tick), self._y(tick))
            for tick in self.ticks
        ]

    def _lines(self) -> SafeString:
        paths = []
        for number, line in enumerate(self.series, 1):
            path = _path(line.values, self.ticks[-1], 1000, 100)
            if number == 1 and None not in line.values:
                paths.append(format_html('<path class="area-1" d="{} L1000 100 L0 100Z"/>', path))
            paths.append(format_html('<path class="line-{}" d="{}"/>', number, path))
        return format_html(
            '<svg x="0" y="{}" width="100%" height="{}" viewBox="0 0 1000 100" preserveAspectRatio="none">{}</svg>',
            TOP,
            self.plot,
            format_html_join("", "{}", ((path,) for path in paths)),
        )

    def _scale(self) -> list[SafeString]:
        return [
            format_html('<text x="0" y="{}">{}</text>', f"{float(self._y(tick)) - 4:.1f}", self.text(tick))
            for tick in self.ticks[1:]
        ]

    def _dates(self) -> list[SafeString]:
        """As many dates as fit: the first one, and others that do not run into the edge."""
        step = max(len(self.days) // DATE_LABELS, 1)
        return [
            format_html(
                '<text x="{}" y="{}" text-anchor="{}">{}</text>',
                self._x(index),
                HEIGHT - 5,
                "middle" if index else "start",
                f"{self.days[index]:%-d %b}",
            )
            for index in range(0, len(self.days) - step // 2, step)
        ]

    def _hovers(self) -> list[SafeString]:
        """For each day: an area to hover over, and what shows then."""
        return [self._hover(index, day) for index, day in enumerate(self.days)]

    def _hover(self, index: int, day: date) -> SafeString:
        leftmost = index * self.gap < 60
        known = [
            (number, line.name, line.values[index])
            for number, line in enumerate(self.series, 1)
            if line.values[index] is not None
        ]
        values = ", ".join(
            f"{name} {self.text(value or 0)}" if len(self.series) > 1 else self.text(value or 0)
            for _, name, value in known
        )
        x = self._x(index)
        dots = "".join(
            f'<circle class="point dot-{number}" cx="{x}" cy="{self._y(value or 0)}" r="4"/>'
            for number, _, value in known
        )
        # Numbers of our own but for the texts, which are escaped: a chart has one of these for each day.
        return mark_safe(  # noqa: S308
            f'<g><rect class="hit" x="{self._x(index - 0.5)}" width="{self.gap:.3f}%" y="0" height="{HEIGHT}"/>'
            f'<line class="point rule" x1="{x}" x2="{x}" y1="{TOP}" y2="{TOP + self.plot}"/>{dots}'
            f'<text class="point tip" x="{x}" dx="{8 if leftmost else -8}" y="10" '
            f'text-anchor="{"start" if leftmost else "end"}">{day:%a %-d %b}: {escape(values or "none")}</text></g>'
        )


def _path(values: Sequence[float | None], top: float, width: float, height: float) -> str:
    """An SVG path through the values that there are; a gap of one is drawn over."""
    gap = width / max(len(values) - 1, 1)
    points = [(index * gap, height - value / top * height) for index, value in enumerate(values) if value is not None]
    return " ".join(f"{'L' if number else 'M'}{x:.2f} {y:.2f}" for number, (x, y) in enumerate(points))
