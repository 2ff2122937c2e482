"""The values of a build's parameters, as pages show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from provisioning import parameters
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import values

# A page shows no more.
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter with its value; ``is_default`` if the build stored none. ``is_secret`` values are not shown."""

    name: str
    value: str
    is_default: bool = False
    is_secret: bool = False
    is_variable: bool = False


def rich_values_of(build: WorkspaceBuild) -> list[Value]:
    """Return the values of a build's rich parameters in the order of its version. Two queries."""
    stored = values.stored_rich_values(build)
    rows = build.template_version.rich_parameters.order_by("index").values_list("name", "default_value")
    return [
        Value(name, stored.get(name, default or ""), name not in stored and default is not None)
        for name, default in rows
    ]


def values_of(workspace: Workspace, build: WorkspaceBuild) -> Sequence[Value]:
    """Return the values of rich parameters, then the variables that the workspace has values for. Five queries."""
    given = values.variables_of(workspace.pk)
    computed = parameters.compute(build.template_version.job_id, template_id=workspace.template_id, given=given)
    variables = [
        Value(
            value.name,
            value.source_value if value.schema.redisplay_value else "",
            is_secret=not value.schema.redisplay_value,
            is_variable=True,
        )
        for value in computed
        if value.name in given
    ]
    return [*rich_values_of(build), *variables]
