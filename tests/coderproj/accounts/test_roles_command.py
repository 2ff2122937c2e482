"""``manage.py roles`` and the generated page docs/roles.md."""

from pathlib import Path

from coderproj.accounts.role_page import TITLES
from coderproj.identity.models import EVERYONE
from coderproj.identity.rbac import ROLES, Resource
from tests.commands import run, run_json

PAGE = Path(__file__).parents[3] / "docs" / "roles.md"


def test_committed_page_is_up_to_date():
    assert PAGE.read_text() == run("roles", "list", "--markdown"), (
        "run: manage.py roles list --markdown > docs/roles.md"
    )


def test_page_names_every_role_and_resource_and_the_access_lists():
    page = PAGE.read_text()
    assert all(f"`{name}`" in page for name in ROLES)
    assert set(TITLES) == set(Resource)
    assert all(title in page for title in TITLES.values())
    assert all(word in page for word in ("`use`", "`admin`", f"`{EVERYONE}`"))


def test_list_as_table_and_as_json():
    output = run("roles", "list")
    assert all(name in output for name in ROLES)
    assert "everything" in output
    rows = {row["name"]: row for row in run_json("roles", "list")}
    assert rows["auditor"]["grants"] == {"template": ["read"], "audit_log": ["read"]}
    assert rows["member"]["owned"]["api_key"] == ["create", "delete", "read", "update"]
