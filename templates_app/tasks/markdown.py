"""Render the Markdown of a version: its readme and the descriptions of its parameters."""

import html
import time
from dataclasses import dataclass

from coderproj.base.bounded import Task
from coderproj.console import markdown

# Longer descriptions are cut.
MAX_CHARACTERS = 10_000
# Seconds for all texts; those that are left are shown as they were written.
SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Texts:
    """A readme, descriptions (paragraphs, lists and links) and texts within a line."""

    readme: str = ""
    short: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()


def render(texts: Texts) -> Texts:
    """Return the HTML of each text. A text for which no time is left is shown as text."""
    readme = markdown.render(texts.readme) if texts.readme else ""
    until = time.process_time() + SECONDS
    short, inline = (
        tuple(render_one(text[:MAX_CHARACTERS]) if time.process_time() < until else as_text(text) for text in given)
        for given, render_one, as_text in (
            (texts.short, markdown.render_short, markdown.as_text),
            (texts.inline, markdown.render_inline, html.escape),
        )
    )
    return Texts(readme, short, inline)


RENDER = Task("templates_app.tasks.markdown:RENDER", render, Texts, Texts)
