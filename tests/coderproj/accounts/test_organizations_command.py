"""``manage.py organizations``."""

import json

import pytest
from django.core.management import CommandError

from coderproj.identity.models import Group, Organization
from tests.commands import run, run_json

pytestmark = pytest.mark.django_db


def test_list(users, org, other_org):
    assert [row["name"] for row in run_json("organizations", "list")] == ["acme", "other"]
    assert run("organizations", "list").count("default") == 1
    assert [row["name"] for row in run_json("organizations", "--as", "stranger", "list")] == ["other"]


def test_create(users, org):
    answer = run_json("organizations", "create", "labs", "--display-name", "The Labs", "--description", "new")
    created = Organization.objects.get(name="labs")
    assert (answer["id"], answer["display_name"], created.description) == (str(created.pk), "The Labs", "new")
    assert list(created.members.all()) == [users.owner]
    assert Group.objects.get(pk=created.pk).is_everyone


def test_members(users, org):
    assert [row["username"] for row in run_json("organizations", "members")] == ["admin", "member", "owner"]
    output = run("organizations", "members", "acme")
    assert "organization-admin" in output
    assert "organization-member" in output
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
def test_failure_exits_with_code_1_and_the_reason(users, org, arguments, text):
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
def test_common_options_work_before_and_after_the_action(users, org, other_org, arguments):
    assert [row["name"] for row in json.loads(run("organizations", *arguments))] == ["other"]
