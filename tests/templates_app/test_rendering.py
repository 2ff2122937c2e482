"""The stored HTML of readmes and descriptions."""

import pytest

from templates_app import rendering
from templates_app.models import RichParameter, VersionHtml
from templates_app.parameter_form import fields_of
from templates_app.rendering import RENDERER, html_of, inline_html_in, short_html_in
from templates_app.tasks.markdown import Texts, render
from tests.factories import make_template, make_version
from tests.pages import browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(owner, organization):
    made = make_template(user=owner, organization=organization, name="web").active_version
    made.refresh_from_db()
    return made


def describe(version, *descriptions, options=()):
    choices = [{"name": f"o{place}", "value": f"v{place}", "description": text} for place, text in enumerate(options)]
    for number, text in enumerate(descriptions):
        RichParameter.objects.create(
            template_version=version,
            index=number,
            name=f"p{number}",
            type="string",
            default_value="x",
            description=text,
            options=choices,
        )


def html(version, owner):
    return html_of(version, fields_of(version), user=owner.pk)


def test_texts_are_rendered_once_and_stored(version, owner, django_assert_num_queries, monkeypatch):
    version.readme = "# Web\n\n**bold** <script>"
    describe(version, "Some *cores*.", "Some *cores*.", options=["`near`", ""])
    first = html(version, owner)
    assert "<h2>Web</h2>" in first.readme
    assert "&lt;script&gt;" in first.readme
    assert short_html_in(first.descriptions, "Some *cores*.") == "<p>Some <em>cores</em>.</p>"
    assert inline_html_in(first.descriptions, "`near`") == "<code>near</code>"
    monkeypatch.setattr(rendering.POOL, "run", None)  # it is not called again
    fields = fields_of(version)
    with django_assert_num_queries(1):
        assert html_of(version, fields, user=owner.pk) == first


def test_html_of_an_older_renderer_is_rendered_again(version, owner):
    VersionHtml.objects.create(version=version, readme="old", renderer=RENDERER - 1)
    version.readme = "new"
    assert html(version, owner).readme == "<p>new</p>\n"
    assert VersionHtml.objects.get().readme == "<p>new</p>\n"


def test_texts_of_an_unfinished_import_are_not_stored(owner, organization):
    version = make_version(user=owner, organization=organization, finished=False)
    version.readme = "*early*"
    assert html(version, owner).readme == "<p><em>early</em></p>\n"
    assert not VersionHtml.objects.exists()


@pytest.mark.promise("A6")
@pytest.mark.parametrize("readme", ["[" * 200_000, "![" * 100_000, "a|b\n-|-\n" + "x|y\n" * 60_000, "**a" * 60_000])
def test_a_readme_over_the_limit_is_shown_as_written(version, owner, readme):
    version.readme = f"<b>{readme}"
    describe(version, "**described**")
    found = html(version, owner)
    assert "&lt;b&gt;" in found.readme
    assert "<b>" not in found.readme
    assert short_html_in(found.descriptions, "**described**") == "<p><strong>described</strong></p>"
    assert VersionHtml.objects.get().readme == found.readme


@pytest.mark.promise("A6")
def test_hostile_descriptions_are_shown_as_written(version, owner):
    describe(version, *("[" * (9_000 + number) + "<b>" for number in range(60)))
    found = html(version, owner)
    assert short_html_in(found.descriptions, "[" * 9_059 + "<b>") == f'<p class="as-written">{"[" * 9_059}&lt;b&gt;</p>'


def test_texts_after_the_time_for_all_are_shown_as_written(monkeypatch):
    monkeypatch.setattr("templates_app.tasks.markdown.SECONDS", -1.0)
    found = render(Texts(short=("*a* <b>",), inline=("*a* <b>",)))
    assert found.short == ('<p class="as-written">*a* &lt;b&gt;</p>',)
    assert found.inline == ("*a* &lt;b&gt;",)


def test_without_a_free_process_texts_are_shown_as_written_and_not_stored(version, owner, monkeypatch):
    version.readme = "*busy* <b>"
    describe(version, "*also* <b>")
    monkeypatch.setattr(rendering.POOL, "size", 0)
    monkeypatch.setattr("coderproj.base.bounded.pool.WAIT_SECONDS", 0.1)
    found = html(version, owner)
    assert found.readme == '<p class="as-written">*busy* &lt;b&gt;</p>'
    assert short_html_in(found.descriptions, "*also* <b>") == '<p class="as-written">*also* &lt;b&gt;</p>'
    assert not VersionHtml.objects.exists()


def test_pages_show_the_stored_html(version, owner):
    describe(version, "Some *cores*.")
    type(version).objects.filter(pk=version.pk).update(readme="Hello **all**")
    for _ in range(2):
        page = browser(owner).get("/templates/acme/web").content.decode()
        assert "Hello <strong>all</strong>" in page
        assert "Some <em>cores</em>." in page
    assert VersionHtml.objects.count() == 1
