"""Lines of files."""

from collections.abc import Sequence
from html import escape

from django import template
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

LINES_IN_BLOCK = 100


@register.simple_tag
def source_lines(lines: Sequence[str]) -> SafeString:
    """The numbered lines of a file, each with an address of its own, in blocks that a browser leaves alone while they
    are out of sight. Not by a template: there may be thousands, which is also why nobody has to tab through them."""
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
    # Numbers of our own but for the texts, which are escaped.
    return mark_safe("".join(html))  # noqa: S308
