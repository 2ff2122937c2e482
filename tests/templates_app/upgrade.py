"""``python -m tests.templates_app.upgrade STATE`` fills the database DATABASE_URL, brings it into the state of an
earlier version, and migrates it to this one. Prints as JSON what has changed, and what can be done afterwards.

It is a program: the migrations of a database that other tests use would change the plans of their connections.
"""

import json
import os
import sys
from typing import Any

# The last migrations of earlier versions; None for none.
STATES: dict[str, dict[str, str | None]] = {
    "before-workspaces": {
        "agents": None,
        "workspaces": None,
        "templates_app": "0005_instance_keys",
        "provisioning": "0012_null_defaults",
    },
    "first-workspaces": {"agents": None, "workspaces": "0002_last_due", "provisioning": "0013_expired_leases"},
}
# Columns whose values later migrations replace by others.
REPLACED = {"auth_token"}
COLUMNS_SQL = """
SELECT table_name, array_agg(column_name::text ORDER BY column_name)
  FROM information_schema.columns
 WHERE table_schema = 'public' AND table_name ~ '^(identity|provisioning|templates_app|workspaces|agents)_'
 GROUP BY table_name
"""


def main(name: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "coderproj.settings"
    import django

    django.setup()
    from django.core.management import call_command

    from tests.world import fast_settings, make_world

    call_command("migrate", verbosity=0)
    with fast_settings():
        make_world(3)
        if STATES[name].get("workspaces", "") is None:
            remove_workspaces()
        for app, migration in STATES[name].items():
            call_command("migrate", app, migration or "zero", verbosity=0)
        before = contents()
        call_command("migrate", verbosity=0)
        after = contents(before)
        print(
            json.dumps(
                {
                    "rows": {table: len(rows) for table, (_, rows) in before.items()},
                    "changed": sorted(table for table in before if before[table] != after.get(table)),
                    **afterwards(),
                }
            )
        )


def remove_workspaces() -> None:
    """Remove what an earlier version cannot have."""
    from provisioning.models import ParameterScope, ParameterValue, ProvisionerJob
    from templates_app.workspaces.job_kinds import BUILD_TYPE
    from templates_app.workspaces.models import Workspace, WorkspaceBuild

    Workspace.objects.update(latest_build=None)
    WorkspaceBuild.objects.all().delete()
    Workspace.objects.all().delete()
    ProvisionerJob.objects.filter(type=BUILD_TYPE).delete()
    ParameterValue.objects.filter(scope=ParameterScope.WORKSPACE).delete()


def contents(like: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return columns and rows of every table. Of the tables in ``like`` only the columns there, and no other tables."""
    from django.db import connection

    found = {}
    with connection.cursor() as cursor:
        if like is None:
            cursor.execute(COLUMNS_SQL)
            columns = dict(cursor.fetchall())
        else:
            columns = {table: names for table, (names, _) in like.items()}
        for table, names in columns.items():
            listed = ", ".join(f'"{name}"' for name in names if name not in REPLACED)
            cursor.execute(f'SELECT md5(row({listed})::text) FROM "{table}" ORDER BY 1')
            found[table] = (names, [row for (row,) in cursor.fetchall()])
    return found


def afterwards() -> dict[str, Any]:
    """Build workspaces from the versions that were imported before. Return what came of it."""
    from coderproj.identity.actor import Actor
    from provisioning.engine.base import BuildResult, Transition
    from provisioning.models import ProvisionerJob
    from provisioning.queue import jobs
    from templates_app.models import RichParameter, Template
    from templates_app.workspaces import due
    from templates_app.workspaces.models import Workspace
    from templates_app.workspaces.services import builds, values, workspaces
    from tests.factories import claim

    for waiting in ProvisionerJob.objects.filter(completed_at=None):
        ProvisionerJob.objects.filter(pk=waiting.pk).update(completed_at=waiting.created_at)
    template = Template.objects.select_related("active_version", "created_by", "organization").order_by("name")[0]
    owner = template.created_by
    rows = template.active_version.rich_parameters.filter(default_value=None)
    given = [values.NamedValue(row.name, "0") for row in rows]
    new = workspaces.NewWorkspace("upgraded", template_id=template.pk, ttl_ms=3_600_000, rich_values=given)
    made = workspaces.create(Actor.of(owner), template.organization, owner, new)
    jobs.complete(claim(), BuildResult())
    existing = list(Workspace.objects.existing().select_related("latest_build__job"))
    stops = [
        builds.create(Actor.of(owner), workspace, builds.NewBuild(Transition.STOP)).build_number
        for workspace in existing
    ]
    made.refresh_from_db()
    return {
        "ephemeral": RichParameter.objects.filter(ephemeral=True).count(),
        "parameters": RichParameter.objects.count(),
        "workspaces": len(existing),
        "stops": len(stops),
        "due": sum(due.due_at(one, one.latest_build) is not None for one in existing),
    }


if __name__ == "__main__":
    main(sys.argv[1])
