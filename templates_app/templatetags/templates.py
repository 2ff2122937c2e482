"""The lines of source files and of comparisons, texts in Markdown, and percentages."""

from collections.abc import Mapping, Sequence
from html import escape

from django import template
from django.utils.safestring import SafeString, mark_safe

from coderproj.console.templatetags.console import DASH
from templates_app.rendering import inline_html_in, short_html_in
from templates_app.tasks.comparison import Line

register = template.Library()

LINES_IN_BLOCK = 100


@register.filter
def percent(value: float | None) -> str:
    """Return a percentage. It is 0% or 100% only if it is exactly that: rounding must hide no failure."""
    if value is None:
        return DASH
    if 0 < value < 0.95 or 99.05 <= value < 100:
        return f"{min(max(value, 0.1), 99.9):.1f}%"
    return f"{value:.0f}%"


@register.simple_tag
def source_lines(lines: Sequence[str]) -> SafeString:
    """The numbered lines of a file, each with an anchor, in blocks whose layout a browser skips while they are out of
    view. No template, because there can be thousands of lines; for the same reason their links are not tab stops."""
    rows = [
        f'<div class="line" id="L{number}">'
        f'<a href="#L{number}" tabindex="-1">{number}</a><span>{escape(text)}</span></div>'
        for number, text in enumerate(lines, 1)
    ]
    blocks = (rows[start : start + LINES_IN_BLOCK] for start in range(0, len(rows), LINES_IN_BLOCK))
    html = (
        f'<div class="lines{" full" if len(block) == LINES_IN_BLOCK else ""}">{"".join(block)}</div>'
        for block in blocks
    )
    # Texts are escaped; the rest is numbers.
    return mark_safe("".join(html))  # noqa: S308


@register.simple_tag
def hunk_lines(lines: Sequence[Line]) -> SafeString:
    """The rows of a hunk. No template, because there can be thousands of lines."""
    # Texts are escaped; the rest is numbers.
    return mark_safe("\n".join(map(_hunk_line, lines)))  # noqa: S308


def _hunk_line(line: Line) -> str:
    name = {"+": ' class="add"', "-": ' class="del"'}.get(line.sign, "")
    tag = "ins" if line.sign == "+" else "del"
    text = "".join(f"<{tag}>{escape(span.text)}</{tag}>" if span.marked else escape(span.text) for span in line.spans)
    sign = "\N{MINUS SIGN}" if line.sign == "-" else line.sign
    return (
        f'<tr{name}><td class="gutter">{line.before or ""}</td><td class="gutter">{line.after or ""}</td>'
        f'<td class="sign">{sign}</td><td>{text}</td></tr>'
    )


@register.filter
def short_html(text: str, descriptions: Mapping[str, str]) -> SafeString:
    """Return the HTML of a description from those of its version."""
    return short_html_in(descriptions, text)


@register.filter
def inline_html(text: str, descriptions: Mapping[str, str]) -> SafeString:
    """Return the HTML of a text within a line from those of its version."""
    return inline_html_in(descriptions, text)
