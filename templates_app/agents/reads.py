"""The compiled reads of agents."""

import uuid
from typing import Any

from django.db.models import QuerySet

from coderproj.identity.actor import Actor
from coderproj.reads.compiled import Read
from coderproj.reads.serializers import json_object
from templates_app.agents.services import agents
from templates_app.workspaces.serializers.answers import BuildAgentSerializer


def _agent(actor: Actor, agent_id: uuid.UUID) -> QuerySet[Any, Any]:
    return agents.visible(actor).filter(pk=agent_id).values_list(json_object(BuildAgentSerializer()))


AGENT = Read(_agent)

# Compiled by a system check (``coderproj.reads.checks``).
READS = [AGENT]
