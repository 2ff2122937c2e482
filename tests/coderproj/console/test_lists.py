"""A list declares each ``Column`` once: its fields in the query, its heading and its cells."""

import pytest
from django.db import connection
from django.template import Context, engines
from django.test.utils import CaptureQueriesContext
from django.utils.html import format_html

from coderproj.console.lists import Column, Listing
from coderproj.identity.models import Group
from tests.factories import make_organization

GROUPS = Listing[Group](
    Column("Name", lambda group: group.name, ("name",), "wide", phone_label=""),
    Column("Organization", lambda group: group.organization.name, ("organization__name",)),
    Column("Quota", lambda group: group.quota_allowance, ("quota_allowance",), "number right"),
    Column("Remove", lambda group: format_html("<b>{}</b>", group.name), ("name",), hide_heading=True),
)


def render(listing: Listing[Group], rows: list[Group], *, without: tuple[str, ...] = ()) -> str:
    template = engines["django"].from_string('{% include "console/_table.html" %}').template
    return template.render(Context({"table": listing.table(rows, without=without)}))


@pytest.mark.django_db
def test_fetch_reads_the_declared_fields_in_one_query():
    Group.objects.create(organization=make_organization("acme"), name="builders")
    with CaptureQueriesContext(connection) as captured:
        (group,) = GROUPS.fetch(Group.objects.filter(name="builders"))
        html = render(GROUPS, [group])
    (query,) = captured.captured_queries
    assert "avatar_url" not in query["sql"]
    assert group.get_deferred_fields() >= {"avatar_url", "created_at"}
    assert '<td data-label="Organization">acme</td>' in html


def test_headings_and_cells_follow_from_the_columns():
    html = render(Listing(*GROUPS.columns[::2]), [Group(name="a<b", quota_allowance=4)])
    assert '<th scope="col">Name</th><th scope="col" class="right">Quota</th>' in html
    assert '<tr><td class="wide">a&lt;b</td><td class="number right" data-label="Quota">4</td></tr>' in html


def test_the_heading_of_an_action_is_for_screen_readers_only():
    html = render(Listing(GROUPS.columns[3]), [Group(name="a<b")])
    assert '<th scope="col"><span class="visually-hidden">Remove</span></th>' in html
    assert "<td><b>a&lt;b</b></td>" in html


def test_a_column_can_be_left_out():
    html = render(Listing(GROUPS.columns[0], GROUPS.columns[3]), [Group(name="builders")], without=("Remove",))
    assert "Remove" not in html
    assert html.count("<td") == 1


def test_a_cell_can_be_a_template():
    listing = Listing[Group](Column("Group", "console/_brand.html"))
    template = engines["django"].from_string('{% include "console/_table.html" %}').template
    html = template.render(Context({"table": listing.table([Group(name="a")]), "brand": "Forge"}))
    assert "Forge</a>" in html
