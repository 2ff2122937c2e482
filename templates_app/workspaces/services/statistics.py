"""What statistics count of workspaces: the times of builds, owners, and the values of parameters.

The rows belong to templates (``templates_app.statistics``); a worker's pass calls these functions.
"""

import uuid
from collections.abc import Collection, Sequence

from django.db import connection

from templates_app.models import ParameterUse
from templates_app.statistics.counting import times_sql
from templates_app.statistics.progress import Window, found_templates

# A parameter with options has at most this many values in the figures. Only options are kept as texts; of other values,
# which users can have typed for an earlier version, only their number.
VALUES_KEPT = 20

BUILDS_SQL = times_sql(
    "build.transition",
    """JOIN workspaces_workspacebuild build ON build.job_id = job.id
      JOIN templates_app_templateversion version ON version.id = build.template_version_id""",
)
# The templates of builds that were queued or ended in the window: only these create and delete workspaces.
TOUCHED_SQL = """
WITH job AS (
    SELECT id FROM provisioning_provisionerjob WHERE completed_at IS NULL AND created_at >= %(since)s
     UNION ALL
    SELECT id FROM provisioning_provisionerjob WHERE completed_at >= %(since)s AND completed_at < %(until)s
)
SELECT DISTINCT workspace.template_id
  FROM job
  JOIN workspaces_workspacebuild build ON build.job_id = job.id
  JOIN workspaces_workspace workspace ON workspace.id = build.workspace_id
"""
OWNERS_SQL = """
UPDATE templates_app_templatestatistics counted SET workspace_owners = coalesce(found.owners, 0)
  FROM unnest(%(templates)s::uuid[]) AS given(id)
  LEFT JOIN (SELECT template_id, count(DISTINCT owner_id) AS owners
               FROM workspaces_workspace
              WHERE NOT deleted AND template_id = ANY(%(templates)s)
              GROUP BY 1) found ON found.template_id = given.id
 WHERE counted.template_id = given.id AND counted.workspace_owners <> coalesce(found.owners, 0)
"""
# The values with which workspaces were built last. ``listed`` says that the active version lists the values.
PARAMETERS_SQL = """
WITH used AS (
    SELECT workspace.template_id, given.name, given.value
      FROM workspaces_workspace workspace
      JOIN workspaces_buildparameter given ON given.build_id = workspace.latest_build_id
     WHERE NOT workspace.deleted AND workspace.template_id = ANY(%(templates)s)
), listed AS (
    SELECT used.template_id, used.name, used.value,
           bool_or(CASE WHEN jsonb_array_length(parameter.options) > 0
                        THEN parameter.options @> jsonb_build_array(jsonb_build_object('value', used.value))
                        ELSE parameter.type = 'bool' AND used.value IN ('true', 'false') END) AS is_listed,
           count(*) AS uses
      FROM used
      JOIN templates_app_template template ON template.id = used.template_id
      JOIN templates_app_richparameter parameter
           ON parameter.template_version_id = template.active_version_id AND parameter.name = used.name
     GROUP BY 1, 2, 3
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY template_id, name ORDER BY uses DESC, value) AS rank
      FROM listed WHERE is_listed
)
SELECT template_id, name, value, uses, 1 FROM ranked WHERE rank <= %(kept)s
 UNION ALL
SELECT template_id, name, NULL, sum(uses), count(*) FROM listed WHERE NOT is_listed GROUP BY 1, 2
"""


def add_build_times(window: Window) -> set[uuid.UUID]:
    """Add the times of builds that ended in the window. Return the templates whose rows are new."""
    return found_templates(BUILDS_SQL, {"since": window.since, "until": window.until})


def count_owners_in(window: Window) -> int:
    """Count the owners of templates whose workspaces can have been created or deleted in the window. Return the number
    of templates that have changed."""
    found = found_templates(TOUCHED_SQL, {"since": window.since, "until": window.until})
    return count_owners(found) if found else 0


def count_owners(templates: Collection[uuid.UUID]) -> int:
    """Count the owners of existing workspaces. Return the number of templates that have changed."""
    with connection.cursor() as cursor:
        cursor.execute(OWNERS_SQL, {"templates": list(templates)})
        return int(cursor.rowcount)


def count_parameters(templates: Sequence[uuid.UUID]) -> None:
    """Count the existing workspaces by the values of their parameters."""
    with connection.cursor() as cursor:
        cursor.execute(PARAMETERS_SQL, {"templates": list(templates), "kept": VALUES_KEPT})
        found = [
            ParameterUse(template_id=template, name=name, value=value, workspaces=uses, values=values)
            for template, name, value, uses, values in cursor.fetchall()
        ]
    ParameterUse.objects.filter(template__in=templates).delete()
    ParameterUse.objects.bulk_create(found, batch_size=1000)
