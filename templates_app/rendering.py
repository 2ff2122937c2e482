"""The HTML of a version's Markdown: rendered once, in a bounded process, and stored.

Texts of a finished import do not change. The first page that shows them stores their HTML, so no job waits for it, no
HTML comes from a daemon, and versions from before are rendered when a page needs them.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from coderproj.base.bounded import OverLimit, PoolBusy, ShareUsedUp
from coderproj.console.markdown import as_text
from templates_app.bounded import POOL
from templates_app.models import TemplateVersion, VersionHtml
from templates_app.tasks.markdown import RENDER, Texts

# The number of the renderer's rules: stored HTML with another number is rendered again.
RENDERER = 1
SHORT, INLINE = "short", "inline"


class _Choice(Protocol):
    @property
    def description(self) -> str: ...


class Described(Protocol):
    """A field of a form with its description, and its choices with theirs."""

    @property
    def description(self) -> str: ...
    @property
    def choices(self) -> Sequence[_Choice]: ...


@dataclass(frozen=True, slots=True)
class Html:
    """The HTML of a version's readme, and of descriptions by ``description_key``."""

    readme: SafeString
    descriptions: Mapping[str, str]


def html_of(
    version: TemplateVersion,
    fields: Iterable[Described],
    *,
    user: uuid.UUID,
    is_gone: Callable[[], bool] | None = None,
) -> Html:
    """Return the HTML of a version's texts, where ``fields`` are all its parameters. Runs one query if it is stored.

    Texts that cannot be rendered within the limits, or because no process is free for the user, are shown as text.
    """
    stored = VersionHtml.objects.filter(pk=version.pk, renderer=RENDERER).first()
    if stored is None:
        stored, is_final = _rendered(version, fields, user, is_gone)
        if is_final and version.job.completed_at is not None:
            VersionHtml.objects.bulk_create(
                [stored],
                update_conflicts=True,
                unique_fields=["version"],
                update_fields=["readme", "descriptions", "renderer"],
            )
    return Html(_cleaned(stored.readme), stored.descriptions)


def short_html_in(descriptions: Mapping[str, str], text: str) -> SafeString:
    """Return the HTML of a description; a text that was not rendered is shown as text."""
    found = descriptions.get(description_key(SHORT, text))
    return _cleaned(as_text(text) if found is None else found)


def inline_html_in(descriptions: Mapping[str, str], text: str) -> SafeString:
    """Return the HTML of a text within a line; a text that was not rendered is shown as text."""
    found = descriptions.get(description_key(INLINE, text))
    return escape(text) if found is None else _cleaned(found)


def description_key(kind: str, text: str) -> str:
    """Return the key of a text in ``VersionHtml.descriptions``."""
    return f"{kind}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _cleaned(html: str) -> SafeString:
    return mark_safe(html)  # noqa: S308 - from ``console.markdown``, which cleans it by an allow-list


def _rendered(
    version: TemplateVersion, fields: Iterable[Described], user: uuid.UUID, is_gone: Callable[[], bool] | None
) -> tuple[VersionHtml, bool]:
    """Render the texts. The second item is False if a later page should try again."""
    fields = list(fields)
    short = tuple(dict.fromkeys(one.description for one in fields if one.description))
    inline = tuple(dict.fromkeys(choice.description for one in fields for choice in one.choices if choice.description))
    # Two calls: a readme that takes too long does not cost the descriptions theirs.
    readme = _run(Texts(readme=version.readme), user, is_gone) if version.readme else Texts()
    described = _run(Texts(short=short, inline=inline), user, is_gone) if short or inline else Texts()
    descriptions: dict[str, str] = {}
    if isinstance(described, Texts):
        for kind, texts, html in ((SHORT, short, described.short), (INLINE, inline, described.inline)):
            descriptions |= {description_key(kind, text): found for text, found in zip(texts, html, strict=True)}
    found = VersionHtml(
        version=version,
        readme=readme.readme if isinstance(readme, Texts) else as_text(version.readme),
        descriptions=descriptions,
        renderer=RENDERER,
    )
    busy = (PoolBusy, ShareUsedUp)
    return found, not isinstance(readme, busy) and not isinstance(described, busy)


def _run(
    texts: Texts, user: uuid.UUID, is_gone: Callable[[], bool] | None
) -> Texts | OverLimit | PoolBusy | ShareUsedUp:
    try:
        return POOL.run(RENDER, texts, user=user, is_gone=is_gone)
    except (OverLimit, PoolBusy, ShareUsedUp) as error:
        return error
