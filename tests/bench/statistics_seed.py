"""A million builds and ten million reports for ``tests.bench.statistics``, made by the database.

Times are spread evenly over the days. Build n is of workspace n % workspaces; a workspace is of template 0 if its
number is divisible by 4, else of one of the others.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection

from coderproj.identity import tokens
from coderproj.identity.models import Membership, User
from provisioning.models import WorkspaceAgent, WorkspaceResource
from templates_app.models import RichParameter, TemplateVersion
from templates_app.workspaces.models import Workspace
from tests.bench.seed import BATCH, fixed, make_organization, make_template
from tests.factories import make_user

VERSIONS = 4
BUILD_DAYS, REPORT_DAYS = 90, 30
LOGGED_JOBS, LINES = 5_000, 20


@dataclass(frozen=True, slots=True)
class Size:
    builds: int
    reports: int
    templates: int
    users: int
    workspaces: int


@dataclass(frozen=True, slots=True)
class Seeded:
    """``session`` is one of an owner of the deployment, ``pages`` are addresses of insights."""

    size: Size
    session: str
    pages: list[str]


# A temporary table with the numbers of workspaces, and ids by number.
NUMBERS_SQL = """
CREATE TEMPORARY TABLE place AS
SELECT number.n, gen_random_uuid() AS workspace, gen_random_uuid() AS agent, gen_random_uuid() AS resource,
       users.id AS owner, template.id AS template, template.organization_id AS organization, template.versions
  FROM generate_series(0, %(workspaces)s - 1) number(n)
  JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS n FROM identity_user) users ON users.n = number.n %% %(users)s
  JOIN (SELECT template.id, template.organization_id, row_number() OVER (ORDER BY template.id) - 1 AS n,
               array_agg(version.id) AS versions
          FROM templates_app_template template
          JOIN templates_app_templateversion version ON version.template_id = template.id
         GROUP BY 1, 2) template
       ON template.n = CASE WHEN number.n %% 4 = 0 THEN 0 ELSE 1 + number.n %% (%(templates)s - 1) END
"""
BUILDS_SQL = """
CREATE TEMPORARY TABLE built AS
SELECT number.n, gen_random_uuid() AS job, gen_random_uuid() AS build, place.workspace, place.owner, place.organization,
       place.versions[1 + number.n / %(workspaces)s %% array_length(place.versions, 1)] AS version,
       number.n / %(workspaces)s + 1 AS number,
       (ARRAY['start', 'stop', 'start', 'stop', 'delete'])[1 + number.n / %(workspaces)s %% 5] AS transition,
       %(until)s::timestamptz - (%(builds)s - number.n) * (%(span)s::interval / %(builds)s) AS completed_at,
       CASE WHEN number.n %% 25 = 0 THEN 'Error: no space left on device ' || number.n %% 50 ELSE '' END AS error,
       random() AS luck
  FROM generate_series(%(first)s, %(first)s + %(builds)s - 1) number(n)
  JOIN place ON place.n = number.n %% %(workspaces)s
"""
JOBS_SQL = """
INSERT INTO provisioning_provisionerjob (id, created_at, updated_at, started_at, completed_at, error, organization_id,
       initiator_id, provisioner, storage_method, type, input, tags, priority, attempts, ended_as, log_count)
SELECT job, completed_at - (luck * interval '5 minutes' + interval '12 seconds'), completed_at,
       completed_at - (luck * interval '5 minutes' + interval '4 seconds'), completed_at, error, organization,
       owner, 'terraform', 'file', 'workspace_build',
       jsonb_build_object('template_version_id', version, 'workspace_build_id', build), '{"scope": "organization"}',
       0, 1, 'complete', 0
  FROM built
"""
BUILD_ROWS_SQL = """
INSERT INTO workspaces_workspacebuild (id, created_at, updated_at, build_number, transition, reason, daily_cost,
       workspace_id, template_version_id, initiator_id, job_id)
SELECT build, completed_at, completed_at, number + %(numbers)s, transition, 'initiator', 0, workspace, version, owner,
       job
  FROM built
"""
LATEST_SQL = """
UPDATE workspaces_workspace workspace SET latest_build_id = latest.build
  FROM (SELECT DISTINCT ON (workspace) workspace, build FROM built ORDER BY workspace, number DESC) latest
 WHERE workspace.id = latest.workspace
"""
PARAMETERS_SQL = """
INSERT INTO workspaces_buildparameter (build_id, name, value)
SELECT workspace.latest_build_id, given.name, left(md5(workspace.id::text || given.name), 1)
  FROM workspaces_workspace workspace, unnest(ARRAY['region', 'size', 'dotfiles']) given(name)
 WHERE workspace.latest_build_id IS NOT NULL
"""
READY_SQL = """
INSERT INTO templates_app_agenttime (agent_id, template_id, organization_id, ready_at, ready_ms)
SELECT agent, template, organization, now() - random() * interval '80 days', (random() * 60000)::bigint FROM place
"""
# On a day, a quarter of the workspaces have traffic.
REPORTS_SQL = """
INSERT INTO agents_agentstatistic (created_at, agent_id, workspace_id, template_id, user_id, connections_by_protocol,
       connections, rx_packets, rx_bytes, tx_packets, tx_bytes)
SELECT number.created_at, place.agent, place.workspace, place.template, place.owner, '{}', 1, 1, 1, 1, 1
  FROM (SELECT n, %(until)s::timestamptz - (%(reports)s - n) * (%(span)s::interval / %(reports)s) AS created_at
          FROM generate_series(0, %(reports)s - 1) n) number
  JOIN place ON place.n = (number.n * 4 + extract(doy FROM number.created_at)::int) %% %(workspaces)s
"""
LOGS_SQL = """
INSERT INTO provisioning_provisionerjoblog (job_id, id, created_at, source, level, stage, output)
SELECT job.id, n, job.started_at + n * interval '200 milliseconds', 'provisioner', 'info',
       (ARRAY['Setting up', 'Planning', 'Starting workspace', 'Cleaning up'])[1 + n * 4 / (%(lines)s + 1)], 'a line'
  FROM (SELECT id, started_at FROM provisioning_provisionerjob
         ORDER BY completed_at DESC NULLS LAST LIMIT %(jobs)s) job,
       generate_series(1, %(lines)s) n
"""


def seed(size: Size) -> Seeded:
    """Fill an empty database."""
    organization = make_organization(0, "bench", is_default=True)
    owner = make_user("owner", organizations=(organization,), site_roles=("owner",))
    users = User.objects.bulk_create(
        (
            User(id=fixed("user", n), username=f"user-{n}", email=f"user-{n}@example.test", password="!")
            for n in range(size.users - 1)
        ),
        batch_size=BATCH,
    )
    Membership.objects.bulk_create(
        (Membership(organization=organization, user=user) for user in users), batch_size=BATCH
    )
    templates = [make_template(organization, owner, n, VERSIONS) for n in range(size.templates)]
    given = {"workspaces": size.workspaces, "users": size.users, "templates": size.templates}
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # no checks of foreign keys
        _run(cursor, NUMBERS_SQL, **given)
        _add_workspaces(cursor)
        _add_builds(size, size.builds, f"{BUILD_DAYS} days", numbers=0, first=0)
        _add_agents(cursor)
        for sql in (LATEST_SQL, PARAMETERS_SQL, READY_SQL):
            cursor.execute(sql)
        _run(cursor, LOGS_SQL, jobs=LOGGED_JOBS, lines=LINES)
        with _without_indexes(cursor, "agents_agentstatistic"):
            _add_reports(size, size.reports, f"{REPORT_DAYS} days")
        cursor.execute("VACUUM (ANALYZE)")
    _, session = tokens.issue(user=owner)
    with connection.cursor() as cursor:
        cursor.execute("SELECT template FROM place WHERE n = 0")
        busiest: uuid.UUID = cursor.fetchone()[0]
    names = [template.name for template in templates if template.pk == busiest]
    pages = [f"/templates/bench/{names[0]}/insights?days=90", "/insights?days=90", "/insights?days=90&csv=days"]
    return Seeded(size, session, pages)


def add_new(seeded: Seeded, builds: int, reports: int) -> None:
    """Add builds and reports of the last minute, on the connection that filled the database."""
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE built")
    _add_builds(seeded.size, builds, "1 minute", numbers=10_000, first=0)
    _add_reports(seeded.size, reports, "1 minute")


def _add_workspaces(cursor: Any) -> None:
    """Add the workspaces, and three parameters to each version, two of them with options."""
    cursor.execute("SELECT n, workspace, owner, organization, template FROM place")
    Workspace.objects.bulk_create(
        (
            Workspace(id=pk, name=f"dev-{n}", owner_id=owner, organization_id=organization, template_id=template)
            for n, pk, owner, organization, template in cursor.fetchall()
        ),
        batch_size=BATCH,
    )
    RichParameter.objects.bulk_create(
        (
            RichParameter(template_version=version, index=index, name=name, type="string", options=options)
            for version in TemplateVersion.objects.all()
            for index, (name, options) in enumerate({"region": [{}], "size": [{}], "dotfiles": []}.items())
        ),
        batch_size=BATCH,
    )


def _add_agents(cursor: Any) -> None:
    """Add an agent to the first build of each workspace."""
    cursor.execute("""
        SELECT place.agent, place.resource, build.job_id
          FROM place JOIN workspaces_workspacebuild build
               ON build.workspace_id = place.workspace AND build.build_number = 1""")
    rows = cursor.fetchall()
    WorkspaceResource.objects.bulk_create(
        (
            WorkspaceResource(id=resource, job_id=job, workspace_transition="start", type="vm", name="dev")
            for _, resource, job in rows
        ),
        batch_size=BATCH,
    )
    WorkspaceAgent.objects.bulk_create(
        (
            WorkspaceAgent(id=agent, resource_id=resource, name="main", architecture="amd64", operating_system="linux")
            for agent, resource, _ in rows
        ),
        batch_size=BATCH,
    )


@contextmanager
def _without_indexes(cursor: Any, table: str) -> Iterator[None]:
    """Create the indexes of a table after the block: that takes a third of the time."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname NOT LIKE '%%_pkey'", [table]
    )
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    yield
    cursor.execute("SET maintenance_work_mem = '512MB'")
    for _, definition in indexes:
        cursor.execute(definition)


def _add_builds(size: Size, builds: int, span: str, *, numbers: int, first: int) -> None:
    with connection.cursor() as cursor:
        given = {"workspaces": size.workspaces, "builds": builds, "first": first}
        _run(cursor, BUILDS_SQL, **given, span=f"'{span}'", until=_now(cursor))
        cursor.execute(JOBS_SQL)
        _run(cursor, BUILD_ROWS_SQL, numbers=numbers)


def _add_reports(size: Size, reports: int, span: str) -> None:
    with connection.cursor() as cursor:
        _run(cursor, REPORTS_SQL, workspaces=size.workspaces, reports=reports, span=f"'{span}'", until=_now(cursor))


def _now(cursor: Any) -> str:
    """Return the time as a literal."""
    cursor.execute("SELECT quote_literal(statement_timestamp())")
    now: str = cursor.fetchone()[0]
    return now


def _run(cursor: Any, sql: str, **given: Any) -> None:
    """Run a statement with these numbers and literals in it: CREATE TABLE takes no parameters."""
    cursor.execute(sql % given)
