"""``manage.py groups``."""

import pytest
from django.core.management import CommandError

from coderproj.identity.models import AuditLog, Group
from tests.commands import run, run_json

pytestmark = pytest.mark.django_db


def test_list_has_everyone_with_the_quotas(users, org):
    Group.objects.create(organization=org, name="team", quota_allowance=7)
    found = [(row["name"], row["quota_allowance"]) for row in run_json("groups", "list")]
    assert found == [("Everyone", 0), ("team", 7)]
    assert "team" in run("groups", "list")


def test_quota_is_set_and_recorded(users, org):
    assert run_json("groups", "quota", "Everyone", "12")["quota_allowance"] == 12
    assert Group.objects.get(pk=org.pk).quota_allowance == 12
    row = AuditLog.objects.filter(resource_type="group").latest("time")
    assert row.diff["quota_allowance"]["new"] == 12


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("Everyone", "many"), "quota_allowance: "),
        (("Everyone", "--", "-1"), "quota_allowance: "),
        (("Everyone", "99999999999999999999999999"), "quota_allowance: "),
        (("Everyone", str(2**31)), "quota_allowance: "),
        (("nobody", "1"), "not found|does not exist|no "),
    ],
)
def test_bad_input_changes_nothing(users, org, arguments, text):
    with pytest.raises(CommandError, match=text):
        run("groups", "quota", *arguments)
    assert not Group.objects.filter(quota_allowance__gt=0).exists()


def test_members_cannot_set_quotas(users, org):
    with pytest.raises(CommandError):
        run("groups", "--as", "member", "quota", "Everyone", "1")
