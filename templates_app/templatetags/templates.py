"""The lines of source files."""

from collections.abc import Sequence
from html import escape

from django import template
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

LINES_IN_BLOCK = 100


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
