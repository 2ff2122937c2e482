"""Readmes: allowed and forbidden elements."""

import pytest

from coderproj.console.markdown import render

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](javascript:alert(1))",
    "<a href='javascript:alert(1)'>x</a>",
    "<svg/onload=alert(1)>",
    "<iframe src='https://example.com'></iframe>",
    "<style>@import 'https://example.com'</style>",
    "[x](vbscript:msgbox(1))",
    "<details open ontoggle=alert(1)>",
    "`<script>alert(1)</script>`",
    "```html\n<script>alert(1)</script>\n```",
    "[a](https://example.com \"x' onmouseover='alert(1)\")",
    "<p style='position:fixed'>over everything</p>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<form action='https://example.com'><input name=password></form>",
    "[x]: javascript:alert(1)\n[x]",
]


@pytest.mark.promise("S14")
@pytest.mark.parametrize("source", HOSTILE)
def test_markdown_runs_no_script_and_loads_nothing(source):
    html = render(source)
    lowered = html.lower()
    for tag in ("<script", "<img", "<svg", "<iframe", "<style", "<form", "<input", "<details"):
        assert tag not in lowered
    for scheme in ('href="javascript', 'href="data', 'href="vbscript'):
        assert scheme not in lowered
    assert "style=" not in lowered or "&lt;p style=" in lowered


def test_usual_elements_of_readmes_are_kept():
    html = render("# One\n\n## Two\n\n- **a** and `b`\n\n| x | y |\n| --- | --- |\n| 1 | ~~2~~ |\n")
    for piece in (
        "<h2>One</h2>",
        "<h3>Two</h3>",
        "<li><strong>a</strong> and <code>b</code></li>",
        "<td>1</td>",
        "<s>2</s>",
    ):
        assert piece in html


def test_front_matter_is_removed():
    assert render("---\nname: x\n---\nHello").strip() == "<p>Hello</p>"
    assert "<hr>" in render("Hello\n\n---\n\nname: x\n")


def test_pictures_become_links():
    html = render("![the plan](https://example.com/plan.png)")
    assert "<img" not in html
    assert 'href="https://example.com/plan.png"' in html
    assert ">the plan</a>" in html


def test_links_send_no_referrer():
    assert 'rel="nofollow noopener noreferrer"' in render("[x](https://example.com)")


def test_headings_stop_at_level_six():
    assert "<h6>deep</h6>" in render("###### deep")


def test_a_very_long_readme_is_cut():
    assert len(render("word " * 200_000)) < 300_000
