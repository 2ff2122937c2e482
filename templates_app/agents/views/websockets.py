"""Requests that must be WebSockets."""

from rest_framework.request import Request

from coderproj.api.authentication import reject_cross_site
from coderproj.base.errors import DomainError
from coderproj.web.environ import STREAMS, WEBSOCKET


class UpgradeRequired(DomainError):
    """The request is not a WebSocket, or the server has no streams."""

    status_code = 426
    message = "This path is a WebSocket."


def require_websocket(request: Request) -> None:
    """Raise UpgradeRequired unless the request is a WebSocket, and Forbidden for one of another site's page: browsers
    send cookies with those."""
    if not (request.META.get(WEBSOCKET) and request.META.get(STREAMS)):
        raise UpgradeRequired
    reject_cross_site(request._request)
