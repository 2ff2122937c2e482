"""Charts as SVG, rendered by the server. No style attributes, no script: colours come from the style sheet's classes.

Texts and markers are positioned in percent of the width, lines in a stretched view box, so a chart fits any width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

TOP = 16
BOTTOM = 22
HEIGHT = 190
DATE_LABELS = 4
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart: one value per day, None for a day without a value."""

    name: str
    values: Sequence[float | None]

    @property
    def greatest(self) -> float:
        return max((value for value in self.values if value is not None), default=0)


@dataclass(frozen=True, slots=True)
class Card:
    """A chart of days with its numbers as a table, for ``console/_chart_card.html``.

    ``rows`` are the days with the values of ``columns``, newest first; without rows there is no table. ``lines`` are
    the names of the chart's lines if there are several; otherwise ``note`` describes the line. Without a ``chart``,
    ``none`` is shown, with the link ``none_link`` to ``none_url`` if there is one.
    """

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

    @property
    def table_rows(self) -> SafeString:
        """``rows`` as HTML. A template would take longer for them than for the rest of the card."""
        return mark_safe("".join(_table_row(day, values) for day, values in self.rows))  # noqa: S308 - escaped


def _table_row(day: date, values: Sequence[object]) -> str:
    cells = "".join(f'<td class="number right">{escape(str(value))}</td>' for value in values)
    return f"<tr><td>{day.isoformat()}</td>{cells}</tr>"


def plain(value: float) -> str:
    return f"{value:g}"


def ticks_up_to(greatest: float, count: int = 4) -> list[float]:
    """Return round values from 0 to at least ``greatest``."""
    if greatest <= 0:
        return [0, 1]
    raw = greatest / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in STEPS if factor * magnitude >= raw)
    if greatest > count:
        step = max(1.0, float(math.ceil(step)))
    return [step * index for index in range(math.ceil(greatest / step) + 1)]


def sparkline(values: Sequence[float], label: str) -> SafeString:
    """Return a small line without axes; ``label`` describes it. A dash if all values are zero."""
    if len(values) < 2 or not max(values):
        return format_html('<span class="muted">{}</span>', "\N{EN DASH}")
    path = mark_safe(_path(values, max(values) * 1.1, 100, 100))  # noqa: S308 - numbers only
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
    """Lines over days, weekends shaded, with the values of a day on hover. ``text`` formats a value."""
    parts = "".join(_LineChart(series, days, text).parts())
    return mark_safe(  # noqa: S308 - texts are escaped
        f'<svg class="chart" width="100%" height="{HEIGHT}" role="img" aria-label="{escape(label)}">{parts}</svg>'
    )


class _LineChart:
    def __init__(self, series: Sequence[Series], days: Sequence[date], text: Callable[[float], str]) -> None:
        self.series = series
        self.days = days
        self.text = text
        self.ticks = ticks_up_to(max(line.greatest for line in series))
        self.plot = HEIGHT - TOP - BOTTOM
        self.gap = 100 / max(len(days) - 1, 1)

    def parts(self) -> list[str]:
        """Return the elements of the chart. Texts are escaped; the rest is numbers and constant names."""
        return [*self._weekends(), *self._grid(), self._lines(), *self._scale(), *self._dates(), *self._hovers()]

    def _x(self, index: float) -> str:
        return f"{max(index * self.gap, 0):.3f}%"

    def _y(self, value: float) -> str:
        return f"{TOP + self.plot - value / self.ticks[-1] * self.plot:.1f}"

    def _weekends(self) -> list[str]:
        return [
            f'<rect class="weekend" x="{self._x(index - 0.5)}" width="{self.gap if index else self.gap / 2:.3f}%" '
            f'y="{TOP}" height="{self.plot}"/>'
            for index, day in enumerate(self.days)
            if day.weekday() > 4
        ]

    def _grid(self) -> list[str]:
        heights = (self._y(tick) for tick in self.ticks)
        return [f'<line class="grid" x1="0" x2="100%" y1="{height}" y2="{height}"/>' for height in heights]

    def _lines(self) -> str:
        paths = []
        for number, line in enumerate(self.series, 1):
            path = _path(line.values, self.ticks[-1], 1000, 100)
            if number == 1 and None not in line.values:
                paths.append(f'<path class="area-1" d="{path} L1000 100 L0 100Z"/>')
            paths.append(f'<path class="line-{number}" d="{path}"/>')
        return (
            f'<svg x="0" y="{TOP}" width="100%" height="{self.plot}" viewBox="0 0 1000 100" '
            f'preserveAspectRatio="none">{"".join(paths)}</svg>'
        )

    def _scale(self) -> list[str]:
        return [
            f'<text x="0" y="{float(self._y(tick)) - 4:.1f}">{escape(self.text(tick))}</text>'
            for tick in self.ticks[1:]
        ]

    def _dates(self) -> list[str]:
        """Return the dates that fit: the first one, and others that do not touch the edge."""
        step = max(len(self.days) // DATE_LABELS, 1)
        return [
            f'<text x="{self._x(index)}" y="{HEIGHT - 5}" text-anchor="{"middle" if index else "start"}">'
            f"{self.days[index]:%-d %b}</text>"
            for index in range(0, len(self.days) - step // 2, step)
        ]

    def _hovers(self) -> list[str]:
        """Return the hover area of each day, with the values that it shows."""
        return [self._hover(index, day) for index, day in enumerate(self.days)]

    def _hover(self, index: int, day: date) -> str:
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
        return (
            f'<g><rect class="hit" x="{self._x(index - 0.5)}" width="{self.gap:.3f}%" y="0" height="{HEIGHT}"/>'
            f'<line class="point rule" x1="{x}" x2="{x}" y1="{TOP}" y2="{TOP + self.plot}"/>{dots}'
            f'<text class="point tip" x="{x}" dx="{8 if leftmost else -8}" y="10" '
            f'text-anchor="{"start" if leftmost else "end"}">{day:%a %-d %b}: {escape(values or "none")}</text></g>'
        )


def _path(values: Sequence[float | None], top: float, width: float, height: float) -> str:
    """Return an SVG path through the known values; missing values are bridged."""
    gap = width / max(len(values) - 1, 1)
    points = [(index * gap, height - value / top * height) for index, value in enumerate(values) if value is not None]
    return " ".join(f"{'L' if number else 'M'}{x:.2f} {y:.2f}" for number, (x, y) in enumerate(points))
