"""Cells that several lists share."""

from collections.abc import Iterable
from datetime import datetime

from django.template.defaultfilters import floatformat
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from coderproj.console.questions import Question
from coderproj.console.templatetags.console import ago, icon, initials


def muted(text: object) -> SafeString:
    return format_html('<span class="muted">{}</span>', text)


def tags(texts: Iterable[str], classes: str = "tag") -> SafeString:
    return format_html_join(" ", f'<span class="{classes}">{{}}</span>', ((text,) for text in texts))


def ago_or_never(moment: datetime | None) -> SafeString | str:
    return ago(moment) if moment else muted("never")


def icon_tile(name: str) -> SafeString:
    """Return an icon as the picture of an ``entity``."""
    return format_html('<span class="tile">{}</span>', icon(name))


def avatar(username: str) -> SafeString:
    """Return the initials of a user as the picture of an ``entity``."""
    return format_html('<span class="avatar" aria-hidden="true">{}</span>', initials(username))


def entity(picture: SafeString, name: object, note: object = "", *, url: str = "") -> SafeString:
    """Return the cell for the object of a row: a picture, its name, and a note below; a link if the object has a
    page."""
    small = format_html("<small>{}</small>", note) if note else ""
    inner = format_html("{}<span><strong>{}</strong>{}</span>", picture, name, small)
    if not url:
        return format_html('<span class="entity">{}</span>', inner)
    return format_html('<a class="entity" href="{}">{}</a>', url, inner)


def gauge(percent: float, label: str, *, digits: int = 0) -> SafeString:
    """Return a share as a bar and as a number, which ``digits`` formats like the filter ``floatformat``."""
    whole = floatformat(percent, 0)
    return format_html(
        '<span class="gauge"><meter class="meter share" min="0" max="100" value="{}" aria-label="{}">{}%</meter> '
        '<span class="number">{}%</span></span>',
        whole,
        label,
        whole,
        floatformat(percent, digits),
    )


def dialog_button(question: Question, label: object, *, aria_label: str = "") -> SafeString:
    """Return a button of a row that opens the question in a dialog of the page."""
    aria = format_html(' aria-label="{}"', aria_label) if aria_label else ""
    return format_html(
        '<a class="button small danger" href="{}" data-dialog="{}"{}>{}</a>', question.url, question.key, aria, label
    )
