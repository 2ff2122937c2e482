"""Compiled reads return the same JSON as the plain serializers, including the order of keys."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from coderproj.base.json_text import to_json
from provisioning.models import WorkspaceAgent
from templates_app.workspaces import reads
from templates_app.workspaces.answers import builds_for_answers, workspaces_for_answers
from templates_app.workspaces.filters import search_workspaces
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.serializers.answers import WorkspaceBuildSerializer, WorkspaceSerializer
from tests.api import ApiClient
from tests.factories import finish, make_template, make_workspace
from tests.templates_app.test_reads import compact, ordered
from tests.templates_app.workspaces.rows import add_build
from tests.templates_app.workspaces.rows import make_workspace as make_rows
from tests.world import import_result

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(owner, ada, organization, template):
    """Workspaces in several states, with texts that need escapes."""
    from provisioning.engine.base import BuildResult

    odd = make_template(
        user=owner, organization=organization, name="odd", display_name='"quoted" é \\', icon="/icon/a.svg"
    )
    make_workspace(user=ada, template=template, name="rich", result=BuildResult(import_result(2).start.resources))
    make_workspace(user=ada, template=odd, name="plain", autostart_schedule="0 9 * * 1", ttl_ms=3_600_000)
    many = make_rows(ada, template, "many", builds=3, parts=2)
    add_build(many, owner, 4)
    Workspace.objects.filter(pk=many.pk).update(last_used_at=datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC))
    failed = make_workspace(user=ada, template=odd, name="failed", finished=False)
    finish(failed.latest_build.job, error='it "failed"\n\\')
    make_workspace(user=ada, template=odd, name="waiting", finished=False)
    now = datetime.now(UTC)
    agents = WorkspaceAgent.objects.filter(resource__job__workspace_build__workspace__name="rich")
    WorkspaceAgent.objects.filter(pk=agents.order_by("pk")[0].pk).update(
        first_connected_at=now, last_connected_at=now.replace(year=2999)
    )
    return Workspace.objects.order_by("name")


def plain(serializer):
    return ordered(to_json(serializer.data))


def test_workspaces(ada, filled):
    api = ApiClient(ada)
    for workspace in workspaces_for_answers(filled):
        expected = plain(WorkspaceSerializer(workspace))
        for path in (f"workspaces/{workspace.pk}", f"users/me/workspace/{workspace.name}"):
            for _ in range(2):  # on the regular path and on the fast one
                answer = api.get(path)
                assert ordered(answer.raw) == expected
                assert compact(answer.raw)


def test_builds(ada, filled):
    api = ApiClient(ada)
    for build in builds_for_answers(WorkspaceBuild.objects.all()):
        expected = plain(WorkspaceBuildSerializer(build))
        number = f"users/ada/workspace/{build.workspace.name}/builds/{build.build_number}"
        for path in (f"workspacebuilds/{build.pk}", number):
            answer = api.get(path)
            assert ordered(answer.raw) == expected
            assert compact(answer.raw)


@pytest.mark.parametrize("text", ["", "owner:me", "template:odd", "status:failed", "ada/many", "has-agent:connected"])
def test_list(ada, filled, text):
    from coderproj.identity.actor import Actor

    found = workspaces_for_answers(search_workspaces(Actor.of(ada), {"q": text}))
    answer = ApiClient(ada).get(f"workspaces?q={quote(text)}")
    expected = {"workspaces": WorkspaceSerializer(found, many=True).data, "count": len(found)}
    assert ordered(answer.raw) == ordered(to_json(expected))
    assert compact(answer.raw)
    assert found


@pytest.mark.parametrize(
    "path", ["workspaces", "workspaces/{workspace}", "users/me/workspace/many", "workspacebuilds/{build}"]
)
def test_each_takes_one_statement(ada, filled, path, django_assert_num_queries):
    many = filled.get(name="many")
    path = path.format(workspace=many.pk, build=many.latest_build_id)
    api = ApiClient(ada)
    first = api.get(path)
    with django_assert_num_queries(1):
        assert api.get(path).raw == first.raw


def test_every_read_is_registered():
    declared = [value for value in vars(reads).values() if isinstance(value, reads.Read)]
    assert declared == reads.READS
