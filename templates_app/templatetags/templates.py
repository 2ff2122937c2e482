"""Cells of the list of templates, and lines of files. Tags rather than templates of their own: there are many."""

from collections.abc import Sequence
from html import escape

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from coderproj.console.templatetags.console import DASH, status, tile

register = template.Library()

DELETED = mark_safe('<span class="tag plain">Deleted</span>')
NO_IMPORT = mark_safe(f'<span class="muted">{DASH}</span>')  # noqa: S308 - of constants
LINES_IN_BLOCK = 100
ENTITY = """{} <span>
  <strong>{}
  {}</strong>
  <small>{}</small>
</span>"""


@register.simple_tag
def template_entity(url: str, icon: str, name: str, description: str) -> SafeString:
    """A template with its picture, leading to its page. Without a page it is a deleted one."""
    inner = format_html(ENTITY, tile(icon), name, "" if url else DELETED, description)
    if not url:
        return format_html('<span class="entity">{}</span>', inner)
    return format_html('<a class="entity" href="{}">{}</a>', url, inner)


@register.simple_tag
def version_link(url: str, name: str) -> SafeString:
    """A version's name, leading to its page where it has one."""
    if not url:
        return format_html('<span class="mono">{}</span>', name)
    return format_html('<a class="mono" href="{}">{}</a>', url, name)


@register.simple_tag
def import_link(url: str, name: str, state: str) -> SafeString:
    """The status of a version's import, leading to the version's page where it has one. A dash without a version."""
    if not state:
        return NO_IMPORT
    chip = status(state, chip=True)
    return format_html('<a href="{}" title="{}">{}</a>', url, name, chip) if url else chip


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
