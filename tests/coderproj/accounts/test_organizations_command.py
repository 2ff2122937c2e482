"""``manage.py organizations``, as somebody at a terminal uses it."""

import json

import pytest
from django.core.management import CommandError

from coderproj.identity.models import Group, Organization
from tests.commands import run, run_json

pytestmark = pytest.mark.django_db


def test_listing(people, org, other_org):
    assert [row["name"] for row in run_json("organizations", "list")] == ["acme", "other"]
    assert run("organizations", "list").count("default") == 1
    assert [row["name"] for row in run_json("organizations", "--as", "stranger", "list")] == ["other"]


def test_creating(people, org):
    answer = run_json("organizations", "create", "labs", "--display-name", "The Labs", "--description", "new")
    made = Organization.objects.get(name="labs")
    assert (answer["id"], answer["display_name"], made.description) == (str(made.pk), "The Labs", "new")
    assert list(made.members.all()) == [people.owner]
    assert Group.objects.get(pk=made.pk).is_everyone


def test_members(people, org):
    assert [row["username"] for row in run_json("organizations", "members")] == ["admin", "member", "owner"]
    said = run("organizations", "members", "acme")
    assert "organization-admin" in said
    assert "organization-member" in said
    assert [row["username"] for row in run_json("organizations", "members", "other")] == ["stranger"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("create", "default"), "name: This name is reserved"),
        (("create", "a b"), "name: "),
        (("create", "ACME"), "already exists"),
        (("--as", "member", "create", "labs"), "Forbidden"),
        (("members", "nowhere"), "not found"),
        (("--as", "stranger", "members", "acme"), "not found"),
    ],
)
def test_what_cannot_be_done_is_exit_code_1_with_the_reason(people, org, arguments, text):
    with pytest.raises(CommandError, match=text) as failure:
        run("organizations", *arguments)
    assert failure.value.returncode == 1
    assert Organization.objects.count() == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--as", "stranger", "list"],
        ["--as", "stranger", "list", "--json"],
        ["list", "--json", "--as", "stranger"],
        ["--as", "owner", "list", "--as", "stranger", "--json"],
    ],
)
def test_common_options_stand_before_or_behind_the_action(people, org, other_org, arguments):
    assert [row["name"] for row in json.loads(run("organizations", *arguments))] == ["other"]
