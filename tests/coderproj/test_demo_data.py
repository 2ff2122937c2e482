"""``manage.py demo --data``."""

import contextlib
import itertools
import re
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import urljoin, urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, F, Max, Q
from django.test import Client
from django.urls import resolve

from coderproj.demo.data import filling
from coderproj.demo.data.allowances import allow
from coderproj.demo.data.chance import Chance
from coderproj.demo.data.filling import Sizes
from coderproj.demo.data.history import History
from coderproj.demo.data.jobs import Jobs
from coderproj.demo.data.people import make
from coderproj.demo.data.templates import Templates
from coderproj.demo.data.workspaces import Workspaces
from coderproj.demo.errors import DemoFailedError
from coderproj.identity import services
from coderproj.identity.models import AuditLog, Group, Organization, User
from provisioning.models import (
    JobStatus,
    ProvisionerJob,
    ProvisionerJobLog,
    WorkspaceAgent,
    WorkspaceResource,
    agent_status_expression,
)
from templates_app.agents.models import AgentStatistic
from templates_app.models import AgentTime, DailyUser, JobTime, RichParameter, Template, TemplateVersion
from templates_app.statistics.progress import first_day
from templates_app.workspaces import due
from templates_app.workspaces.models import BuildStatus, Workspace, WorkspaceBuild
from templates_app.workspaces.models.conditions import shown_status
from templates_app.workspaces.services import quota
from tests.pages import browser, text_of

SMALL = Sizes(templates=30, versions=60, users=80, workspaces=70, dry_runs=20, days=90)
# The fixed time makes the same data on each run.
NOW = datetime(2026, 3, 5, 15, 0, tzinfo=UTC)
# The links of pages that are followed, by page; and what is none of the console's pages.
LINKS_OPENED = 2
NOT_PAGES = ("//", "/static/", "/api/", "/icon/")
PAGES = ("/", "/templates", "/insights", "/workspaces", "/users", "/groups", "/audit", "/jobs")


class Silent:
    """Shows no progress."""

    def step(self, name: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@pytest.fixture
def owner(db) -> User:
    user, _ = services.create_first_user(username="ada", email="ada@example.test", password="a long password")
    return user


def test_filled_deployment_is_consistent(owner):
    now = datetime.now(UTC)
    filling.fill(Silent(), seed=3, sizes=SMALL)
    assert (Template.objects.count(), TemplateVersion.objects.count()) == (30, 60)
    assert User.objects.count() == 81
    assert filling.is_filled()
    _check_rows()
    _check_builds()
    _check_statistics(now)
    _check_quotas()
    _check_pages(owner)


def _check_quotas() -> None:
    """Costs are those of what exists, every member has a budget, nobody is over it, and a few are near it."""
    for workspace in Workspace.objects.existing():
        ended = workspace.builds.filter(job__completed_at__isnull=False, job__error="", job__canceled_at=None)
        last = ended.order_by("build_number").last()
        made = WorkspaceResource.objects.filter(job=last.job_id) if last else WorkspaceResource.objects.none()
        assert workspace.daily_cost == sum(made.values_list("daily_cost", flat=True))
    organization = Organization.objects.get()
    found = [quota.quota_of(user.pk, organization.pk) for user in User.objects.all()]
    assert all(one.left is not None and one.left >= 0 for one in found)
    near = [one for one in found if one.consumed and 4 * one.left < one.budget]
    assert 0 < len(near) < len(found) / 4
    assert AuditLog.objects.filter(resource_target="Everyone", diff__has_key="quota_allowance").exists()


def _check_rows() -> None:
    """The rows satisfy the validators of their models, and there is some of everything."""
    for model in (User, Group, Template, TemplateVersion, RichParameter, Workspace):
        for row in model.objects.all():
            row.clean_fields()
    shown = Workspace.objects.annotate(**shown_status()).values_list("shown_status", flat=True)
    statuses = set(shown)
    assert {BuildStatus.RUNNING, BuildStatus.STOPPED, BuildStatus.DELETED, BuildStatus.PENDING} <= statuses
    existing = Workspace.objects.existing()
    assert existing.exclude(latest_build__template_version=F("template__active_version")).exists()
    assert WorkspaceBuild.objects.exclude(job__error="").exists()
    assert WorkspaceAgent.objects.annotate(now=agent_status_expression()).filter(now="connected").exists()
    assert AgentStatistic.objects.exists()
    assert AgentTime.objects.exists()
    assert set(AuditLog.objects.values_list("action", flat=True)) >= {"create", "write", "start", "stop", "login"}


def _check_builds() -> None:
    for workspace in Workspace.objects.select_related("latest_build__job"):
        found = list(workspace.builds.select_related("job").order_by("build_number"))
        assert [build.build_number for build in found] == list(range(1, len(found) + 1))
        assert workspace.latest_build == found[-1]
        assert workspace.due_at == due.due_at(workspace, workspace.latest_build)
        assert workspace.deleted == (found[-1].transition == "delete" and found[-1].job.status == JobStatus.SUCCEEDED)
        for before, after in itertools.pairwise(found):
            assert before.job.completed_at <= after.created_at
        for build in found:
            assert build.created_at == build.job.created_at
            ttl = workspace.ttl_ms if build.transition == "start" and build.job.completed_at else None
            assert (build.deadline is None) == (ttl is None)
            if ttl:
                assert build.deadline >= build.job.completed_at + timedelta(milliseconds=ttl)
    lines = ProvisionerJobLog.objects.values("job").annotate(number=Count("id"), last=Max("id"))
    counted = {row["job"]: (row["number"], row["last"]) for row in lines}
    for job, log_count in ProvisionerJob.objects.values_list("pk", "log_count"):
        assert counted.get(job, (0, 0)) == (log_count, log_count)
    outside = AgentStatistic.objects.exclude(
        created_at__gte=F("agent__first_connected_at"), created_at__lte=F("agent__updated_at")
    )
    assert not outside.exists()


def _check_statistics(now: datetime) -> None:
    """The counts equal a recount of the rows."""
    ended = ProvisionerJob.objects.filter(completed_at__gte=first_day(now, 90))
    assert JobTime.objects.count() == ended.count()
    for template in Template.objects.select_related("statistics"):
        users = DailyUser.objects.filter(template=template, day__gte=first_day(now, 30)).values("user").distinct()
        assert template.statistics.active_users == users.count()
        owners = Workspace.objects.existing().filter(template=template).values("owner").distinct()
        assert template.statistics.workspace_owners == owners.count()
        assert template.statistics.stale_from is None
    reported = set(AgentStatistic.objects.values_list("template", "user").distinct())
    assert reported <= set(DailyUser.objects.values_list("template", "user").distinct())


def _check_pages(owner: User) -> None:
    client = browser(owner)
    for path in PAGES:
        assert client.get(path, follow=True).status_code == 200, path
    assert "Docker" in text_of(client.get("/templates"))
    running = Workspace.objects.existing().filter(~Q(latest_build__job__completed_at=None)).select_related("owner")[0]
    assert client.get(f"/@{running.owner.username}/{running.name}").status_code == 200
    opened = _follow_links(client)
    assert {"workspace", "template", "template-insights", "user", "group", "job"} <= opened.keys()


def _follow_links(client: Client) -> dict[str, int]:
    """Open what the links lead to, a few addresses of each page. Return the number of addresses by the page's name."""
    opened: dict[str, int] = {}
    waiting, seen = list(PAGES), set(PAGES)
    while waiting:
        path = waiting.pop(0)
        name = resolve(urlsplit(path).path).url_name or path
        if opened.get(name, 0) >= LINKS_OPENED:
            continue
        opened[name] = opened.get(name, 0) + 1
        response = client.get(path, follow=True)
        assert response.status_code == 200, path
        if response.streaming or not response["Content-Type"].startswith("text/html"):
            continue
        for link in map(unescape, re.findall(r'<a [^>]*?href="([^"#]+)', response.content.decode())):
            target = urljoin(path, link)
            if target.startswith("/") and not target.startswith(NOT_PAGES) and target not in seen:
                seen.add(target)
                waiting.append(target)
    return opened


def made(seed: int) -> list[object]:
    """Return what identifies the rows of a seed, without a database."""
    organization, chance = Organization(id=uuid.UUID(int=7), name="ada"), Chance(seed)
    people = make(chance, NOW, organization, 60)
    jobs = Jobs(chance, organization.pk)
    templates = Templates(chance, NOW, people, organization.pk, jobs)
    templates.make(30, 40)
    workspaces = Workspaces(chance, NOW, people, templates.lines, jobs)
    workspaces.make(15, 20)
    allow(people, workspaces.lives)
    history = History(chance, NOW, organization.pk).rows(people, templates, workspaces)
    return [
        [(job.pk, job.created_at, job.completed_at, job.error) for job in jobs.rows],
        [(person.user.pk, person.user.username, person.user.created_at) for person in people.persons],
        [(build.pk, build.deadline, build.reason) for build in workspaces.builds],
        [(row.pk, row.time, row.diff) for row in history],
        jobs.lines,
    ]


def test_same_seed_makes_the_same_data():
    assert made(1) == made(1)
    assert made(1) != made(2)


def test_deployment_in_use_is_refused(owner):
    User.objects.create(username="grace", email="grace@example.test", password="!")
    with pytest.raises(DemoFailedError, match="1 users besides the first"):
        filling.fill(Silent(), seed=1, sizes=SMALL)
    with pytest.raises(CommandError, match="nothing was changed"):
        call_command("demo", "--data")
    assert not filling.is_filled()
    assert User.objects.count() == 2
    assert not Template.objects.exists()
