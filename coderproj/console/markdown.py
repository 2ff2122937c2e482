"""Markdown of readmes as safe HTML. HTML in the source is escaped, and the renderer's output passes an allow-list.

Rendering a hostile text takes long: texts of users are rendered in a bounded process.
"""

import re
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

FRONT_MATTER = re.compile(r"\A---\r?\n.*?\r?\n---\r?\n", re.DOTALL)
TAGS = {
    *("a", "p", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "strong", "em", "s", "code", "pre", "blockquote"),
    *("hr", "br", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}}
SCHEMES = {"http", "https", "mailto"}
# The elements of a short text, and of a text within a line.
SHORT_TAGS = {"p", "a", "strong", "em", "s", "code", "pre", "ul", "ol", "li", "br"}
INLINE_TAGS = {"strong", "em", "s", "code"}
# Longer readmes are cut.
MAX_CHARACTERS = 200_000

_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])


def render(source: str) -> str:
    """Return the HTML of a readme, without its front matter. Its headings start at the second level, below the page's
    own. Images are never loaded: each one becomes a link."""
    text = FRONT_MATTER.sub("", source[:MAX_CHARACTERS])
    tokens = _markdown.parse(text)
    _lower_headings(tokens)
    for token in tokens:
        if token.children:
            token.children = [part for child in token.children for part in _without_image(child)]
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="nofollow noopener noreferrer",
    )


def render_short(source: str) -> str:
    """Return the HTML of a description: paragraphs, lists and links, without headings, tables and rules."""
    return _only(render(source), SHORT_TAGS)


def render_inline(source: str) -> str:
    """Return the HTML of a text within a line: emphasis and code."""
    return _only(render(source), INLINE_TAGS)


def as_text(source: str) -> str:
    """Return the HTML of a text that is shown as it was written."""
    return f'<p class="as-written">{escape(source[:MAX_CHARACTERS])}</p>'


def _only(html: str, tags: set[str]) -> str:
    """Keep only these elements, and the content of the others."""
    clean = nh3.clean(
        html,
        tags=tags,
        attributes={name: allowed for name, allowed in ATTRIBUTES.items() if name in tags},
        url_schemes=SCHEMES,
        link_rel="nofollow noopener noreferrer",
    )
    return clean.strip()


def _lower_headings(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"


def _without_image(token: Token) -> list[Token]:
    if token.type != "image":
        return [token]
    link = Token("link_open", "a", 1, attrs={"href": str(token.attrGet("src") or "")})
    text = Token("text", "", 0, content=token.content or "picture")
    return [link, text, Token("link_close", "a", -1)]
