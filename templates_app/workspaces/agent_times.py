"""When the agents of watched workspaces change by themselves: a time limit passes, and nothing is written."""

import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.contrib.postgres.aggregates import StringAgg
from django.db.models import CharField, Min, OuterRef, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Concat

from provisioning.models import WorkspaceAgent
from provisioning.models.resources import agent_status_expression, seconds_of_status_expression
from templates_app.workspaces.models import Workspace


@dataclass(frozen=True, slots=True)
class AgentTimes:
    """The agents of a workspace's latest build: their ids and statuses as one text, and the ``seconds`` after which one
    of these statuses can change without a write; None if none can."""

    statuses: str
    seconds: float | None


def columns() -> tuple[Any, Any]:
    """Return the two fields of AgentTimes as expressions of a query of workspaces."""
    agents = WorkspaceAgent.objects.filter(resource__job__workspace_build=OuterRef("latest_build")).order_by()
    # Without GROUP BY, an aggregate would be one of the workspaces.
    grouped = agents.annotate(one=Value(1)).values("one")
    shown = Concat(Cast("id", TextField()), Value(" "), agent_status_expression(), output_field=TextField())
    statuses = grouped.annotate(found=StringAgg(shown, ",", order_by="id")).values("found")
    seconds = grouped.annotate(found=Min(seconds_of_status_expression())).values("found")
    return Coalesce(Subquery(statuses), Value(""), output_field=CharField()), Subquery(seconds)


@cache
def times_sql() -> tuple[str, tuple[Any, ...], int]:
    """Return the statement that reads the ids and times of some workspaces, its parameters, and the place of the list
    of ids among them."""
    mark = [uuid.uuid4()]
    rows = Workspace.objects.with_build().filter(pk__any=mark).order_by()
    sql, parameters = rows.values_list("pk", *columns()).query.sql_with_params()
    return sql, parameters, parameters.index(mark)
