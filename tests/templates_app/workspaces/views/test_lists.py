"""The list of workspaces: its search text, filters, order and pages."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from coderproj.base.errors import Invalid
from coderproj.identity.models import Membership
from provisioning.engine.base import Agent, BuildResult, Resource
from provisioning.models import ProvisionerJob, WorkspaceAgent
from provisioning.queue import jobs
from templates_app.workspaces.filters import parse_query
from templates_app.workspaces.models import BuildStatus, Workspace, WorkspaceBuild
from tests.api import fields_of
from tests.contract.described import DescribedApiClient
from tests.factories import claim, finish, make_organization, make_template, make_user, make_workspace
from tests.templates_app.workspaces import rows

pytestmark = pytest.mark.django_db


def names(answer):
    assert answer.status_code == 200, answer.raw
    return [row["name"] for row in answer.body["workspaces"]]


@pytest.fixture
def search(api):
    """Return the names of the workspaces that a search text finds."""
    return lambda text, **query: sorted(names(api.get("workspaces", QUERY_STRING=encoded(q=text, **query))))


def encoded(**query):
    from urllib.parse import urlencode

    return urlencode(query)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("Foo/Bar", {"owner": "foo", "name": "bar"}),
        ("   Foo/Bar  ", {"owner": "foo", "name": "bar"}),
        ("Foo", {"name": "foo"}),
        ("workspace-name TEMPLATE:docker", {"name": "workspace-name", "template": "docker"}),
        ('"name":"My Thing" "template":web', {"name": "my thing", "template": "web"}),
        ('name:"a:b" owner:x', {"name": "a:b", "owner": "x"}),
        ("foo:bar", {}),
        ('"foo/bar"', {"name": "foo/bar"}),
        ('"foo"/"bar"', {"owner": "foo", "name": "bar"}),
        ("owner:ME has-agent:connected", {"owner": "me", "has_agent": "connected"}),
        ("has_agent:connected", {}),
        ("a/b owner:c", {"owner": "c", "name": "b"}),
        ("owner:c a/b", {"owner": "a", "name": "b"}),
        ("name:a name:b", {"name": "b"}),
        ("owner: status:", {}),
        ('""', {}),
    ],
)
def test_parser(text, expected):
    """LST-01 to LST-06, LST-15."""
    assert parse_query(text) == expected


@pytest.mark.parametrize("text", ["foo/bar/baz", "owner:name:extra", '"open', "a\0b", "x" * 2001, "::", "//"])
def test_text_that_cannot_be_parsed(api, text):
    """LST-07."""
    with pytest.raises(Invalid):
        parse_query(text)
    answer = api.get("workspaces", QUERY_STRING=encoded(q=text))
    assert (answer.status_code, fields_of(answer)) == (400, ["q"])


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ({"q": "status:sleeping"}, ["q"]),
        ({"q": "has-agent:asleep"}, ["q"]),
        ({"status": "sleeping", "has_agent": "x"}, ["has_agent", "status"]),
        ({"limit": "-1"}, ["limit"]),
        ({"offset": "-1"}, ["offset"]),
        ({"limit": "x"}, ["limit"]),
        ({"limit": str(2**64)}, ["limit"]),
    ],
)
def test_bad_values(api, query, fields):
    """LST-20, and decision 4."""
    answer = api.get("workspaces", QUERY_STRING=encoded(**query))
    assert (answer.status_code, sorted(fields_of(answer))) == (400, fields)


# ---------------------------------------------------------------------- filters
def test_names(search, ada, template):
    """LST-09, LST-16: no character is a wildcard."""
    for name in ("alpha", "alphabet", "beta"):
        rows.make_workspace(ada, template, name)
    for name in ("a_b", "axb", "c%d"):
        rows.make_workspace(ada, template, name)
    assert search("name:alphabet") == ["alphabet"]
    assert search("ALPHA") == ["alpha", "alphabet"]
    assert search("nothing") == []
    assert search("name:a_b") == ["a_b"]
    assert search("%") == ["c%d"]
    assert search("\\") == []


def test_owners(search, ada, owner, organization, template, callers):
    """LST-12, LST-15, LST-24."""
    bob = make_user("bob", organizations=(organization,))
    rows.make_workspace(ada, template, "one")
    rows.make_workspace(bob, template, "two")
    other = make_organization()
    Membership.objects.create(user=bob, organization=other)
    elsewhere = make_template(user=owner, organization=other)
    rows.make_workspace(bob, elsewhere, "three")
    assert search("owner:me") == search("owner:ME") == search("") == ["one"]
    assert search("owner:bob") == search("owner:nobody") == []
    by = lambda api, text: sorted(names(api.get("workspaces", QUERY_STRING=encoded(q=text))))  # noqa: E731
    assert by(DescribedApiClient(bob), "owner:me") == ["three", "two"]
    site = callers["owner"]
    assert by(site, "") == ["one", "three", "two"]
    assert by(site, "owner:BOB") == ["three", "two"]
    assert by(site, "bob/two") == by(site, "template:web bob/two") == ["two"]
    assert by(site, "owner:me") == []
    assert by(callers["organization admin"], "") == ["one", "two"]


def test_templates(search, ada, owner, organization, template):
    """LST-10."""
    rows.make_workspace(ada, template, "one")
    rows.make_workspace(ada, make_template(user=owner, organization=organization, name="other"), "two")
    assert search("template:web") == search("template:WEB") == ["one"]
    assert search("template:we") == search("template:nothing") == []


def test_statuses(search, ada, template, callers):
    """LST-11, LST-21: each status finds what is shown with it, and nothing else."""
    make_workspace(user=ada, template=template, name="silent", finished=False)
    claim(lease_seconds=0.001)
    assert len(jobs.expire()) == 1
    names_of = {}
    for status in BuildStatus.values:
        workspace = rows.make_workspace(ada, template, f"w-{status}")
        names_of[status] = workspace.name
        show(workspace, status)
    for status, name in names_of.items():
        expected = [name, "silent"] if status == "failed" else [name]
        assert search(f"status:{status}") == sorted(expected), status
    assert names_of["deleted"] not in search("")
    assert len(search("")) == len(names_of)


def show(workspace, status):
    """Give a workspace a shown status."""
    now = datetime.now(UTC)
    transitions = {"stopping": "stop", "stopped": "stop", "deleting": "delete", "deleted": "delete"}
    ended = status in {"running", "stopped", "deleted", "canceled", "failed"}
    ProvisionerJob.objects.filter(pk=workspace.latest_build.job_id).update(
        started_at=None if status == "pending" else now,
        completed_at=now if ended else None,
        canceled_at=now if status in {"canceling", "canceled"} else None,
        error="it failed" if status == "failed" else "",
    )
    WorkspaceBuild.objects.filter(pk=workspace.latest_build_id).update(transition=transitions.get(status, "start"))
    Workspace.objects.filter(pk=workspace.pk).update(deleted=status == "deleted")
    found = Workspace.objects.select_related("latest_build__job").get(pk=workspace.pk)
    assert found.latest_build.status == status


def test_deletion_that_was_canceled_too_late_is_not_listed(search, ada, template):
    workspace = rows.make_workspace(ada, template, "gone")
    show(workspace, "canceled")
    Workspace.objects.update(deleted=True)
    assert search("status:canceled") == search("status:deleted") == []


def test_agents(search, ada, template, api):
    """LST-13."""
    result = BuildResult((Resource("vm", "vm", agents=(Agent(name="main", connection_timeout_seconds=1),)),))
    workspace = make_workspace(user=ada, template=template, name="dev", result=result)
    agents = WorkspaceAgent.objects.filter(resource__job=workspace.latest_build.job_id)
    now = datetime.now(UTC)
    states = {
        "connecting": {"connection_timeout_seconds": 3600},
        "timeout": {"connection_timeout_seconds": 1, "created_at": now - timedelta(seconds=5)},
        "connected": {"first_connected_at": now, "last_connected_at": now + timedelta(seconds=60)},
        "disconnected": {"disconnected_at": now + timedelta(seconds=120)},
    }
    for status, change in states.items():
        agents.update(**change)
        assert {word: search(f"has-agent:{word}") for word in states} == {
            word: ["dev"] if word == status else [] for word in states
        }
        assert search("", has_agent=status) == ["dev"]
        shown = api.get(f"workspaces/{workspace.pk}").body["latest_build"]["resources"][0]["agents"][0]["status"]
        assert shown == status
    agents.update(disconnected_at=None, last_connected_at=now - timedelta(seconds=30))
    assert search("has-agent:disconnected") == ["dev"]
    WorkspaceBuild.objects.update(transition="stop")
    assert search("has-agent:disconnected") == []


def test_parameters_of_the_query(search, ada, owner, organization, template):
    """LST-22: ANDed with the search text."""
    rows.make_workspace(ada, template, "alpha")
    show(rows.make_workspace(ada, template, "beta"), "stopped")
    assert search("", name="ALP") == search("", status="running") == ["alpha"]
    assert search("", owner="me", template="web") == ["alpha", "beta"]
    assert search("status:stopped", name="beta") == ["beta"]
    assert search("status:stopped", status="running") == []
    assert search("name:a", name="al") == ["alpha"]
    assert search("owner:me", owner="ada") == ["alpha", "beta"]
    assert search("", owner="") == ["alpha", "beta"]


def test_random_filters(api, owner, organization, callers):
    """LST-08: the result is what the test computes itself."""
    rng = random.Random(7)
    users = [make_user(f"user{n}", organizations=(organization,)) for n in range(3)]
    templates = [make_template(user=owner, organization=organization, name=f"t{n}") for n in range(3)]
    made = []
    for number in range(24):
        user, template = rng.choice(users), rng.choice(templates)
        workspace = rows.make_workspace(user, template, f"w{rng.randrange(5)}-{number}")
        status = rng.choice(["running", "stopped", "failed", "pending"])
        show(workspace, status)
        made.append({"owner": user.username, "template": template.name, "name": workspace.name, "status": status})
    for _ in range(60):
        wanted = {}
        for key, choices in (
            ("owner", ["user0", "user1", "user2"]),
            ("template", ["t0", "t1", "t2"]),
            ("name", ["w1", "-1", "w"]),
            ("status", ["running", "stopped", "failed", "pending"]),
        ):
            if rng.random() < 0.5:
                wanted[key] = rng.choice(choices)
        expected = sorted(
            row["name"]
            for row in made
            if all(value in row[key] if key == "name" else row[key] == value for key, value in wanted.items())
        )
        split = rng.randrange(len(wanted) + 1)
        terms = list(wanted.items())
        rng.shuffle(terms)
        query = {"q": " ".join(f"{key}:{value}" for key, value in terms[:split]), **dict(terms[split:])}
        answer = callers["owner"].get("workspaces", QUERY_STRING=encoded(**query))
        assert sorted(names(answer)) == expected, query
        assert answer.body["count"] == len(expected)


# ---------------------------------------------------------------------- pages and order
def test_pages(api, ada, template):
    """LST-14, LST-17."""
    for name in ("a", "b", "c"):
        rows.make_workspace(ada, template, name)
    page = lambda query: api.get(f"workspaces?{query}").body  # noqa: E731
    for query, expected in (
        ("limit=0", ["a", "b", "c"]),
        ("", ["a", "b", "c"]),
        ("limit=2", ["a", "b"]),
        ("limit=2&offset=1", ["b", "c"]),
        ("offset=2", ["c"]),
        ("offset=3", []),
        ("limit=2&offset=9&q=owner:me", []),
    ):
        body = page(query)
        assert ([row["name"] for row in body["workspaces"]], body["count"]) == (expected, 3), query


def test_every_workspace_is_on_one_page(api, ada, template):
    """LST-18."""
    made = [rows.make_workspace(ada, template, f"w{number:02}").name for number in range(50)]
    seen = [name for offset in range(0, 56, 7) for name in names(api.get(f"workspaces?limit=7&offset={offset}"))]
    assert seen == sorted(made)


def test_order(api, ada, template):
    """LST-19."""
    now = datetime.now(UTC)
    for name, used in (("z", None), ("yesterday", now - timedelta(days=1)), ("a", None), ("today", now)):
        workspace = rows.make_workspace(ada, template, name)
        Workspace.objects.filter(pk=workspace.pk).update(last_used_at=used)
    assert names(api.get("workspaces")) == ["today", "yesterday", "a", "z"]


def test_number_of_statements_is_constant(api, ada, template, django_assert_num_queries):
    """LST-23."""
    for number in range(25):
        rows.make_workspace(ada, template, f"w{number}", builds=10)
    api.get("workspaces")  # caches the caller
    for query in ("", "?limit=3", "?q=owner:me+status:running+has-agent:connecting", "?name=w1&template=web"):
        with django_assert_num_queries(1):
            assert api.get(f"workspaces{query}").body["workspaces"]
    with django_assert_num_queries(7):  # the search text and a parameter differ: Django's ORM reads the rows
        assert api.get("workspaces?q=w&name=w1").body["workspaces"]


def test_an_unfinished_deletion_is_listed(search, ada, template, api):
    workspace = make_workspace(user=ada, template=template, name="dev")
    build = api.post(f"workspaces/{workspace.pk}/builds", {"transition": "delete"}).body
    assert search("status:pending") == search("") == ["dev"]
    finish(WorkspaceBuild.objects.get(pk=build["id"]).job, error="no")
    assert search("status:failed") == ["dev"]
