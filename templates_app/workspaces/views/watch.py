"""Watching a workspace."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from coderproj.base.errors import DomainError
from coderproj.web.environ import STREAMS, WEBSOCKET
from coderproj.web.replies import Handover
from provisioning.views.logs import EVENT_STREAM
from templates_app.workspaces import reads
from templates_app.workspaces.views.base import OfWorkspace
from templates_app.workspaces.views.workspaces import WORKSPACE_ID
from templates_app.workspaces.watch_events import PING, data_event
from templates_app.workspaces.watching import Watched, WatchStream


class WatchViewSet(OfWorkspace):
    """The events of a workspace."""

    @extend_schema(
        operation_id="watch_workspace", parameters=WORKSPACE_ID, responses={(200, EVENT_STREAM): OpenApiTypes.STR}
    )
    def watch(self, request: Request, workspace: str) -> HttpResponseBase:
        """Send server-sent events: ``ping`` at once and every 15 seconds, and ``data`` with the whole workspace at once
        and after each change. ``error`` with a message and its detail precedes the end, when the caller can no longer
        read the workspace or the server stops. A server without streams sends ``ping`` and ``data`` once."""
        found = self.find_workspace()
        if request.META.get(WEBSOCKET):
            raise DomainError("A workspace is watched by server-sent events, not over a WebSocket.")
        watched = Watched(found.pk, found.template_id, found.organization_id, found.owner_id)
        if request.META.get(STREAMS):
            return Handover(WatchStream(watched, self.actor.id, self.actor.key_id))
        body, _ = reads.WORKSPACE.row(self.actor, found.pk)
        return HttpResponse(PING + data_event(body), content_type=EVENT_STREAM)
