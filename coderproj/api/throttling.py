"""REST framework throttles based on the counters of ``identity.limits``, and the rate limit headers."""

import hashlib
import math
import time
import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from coderproj.base.errors import DomainError
from coderproj.identity.actor import Actor
from coderproj.identity.limits import LOGIN, REPORTS, UPLOADS, Key, RateStatus, client_network, counters
from coderproj.identity.roles import SiteRole
from coderproj.web.environ import ON_LOOP

if TYPE_CHECKING:  # circular import: REST framework's views load these classes
    from rest_framework.views import APIView

# In the environ: what the fast path has counted, in case it leaves the request to the regular path.
COUNTED = "coderproj.counted"
# Longer paths are counted by their hash.
PATH_CHARACTERS = 128
BYPASS_HEADER = "HTTP_X_CODER_BYPASS_RATELIMIT"


class BypassNotAllowed(DomainError):
    """A caller who is not an owner tried to bypass the rate limits."""

    status_code = 428
    message = "Only owners may bypass rate limits."


class RateThrottle(BaseThrottle):
    """A limit per minute from a setting, 0 for no limit. Owners bypass it with ``X-Coder-Bypass-Ratelimit: true``."""

    name = ""
    setting = ""
    exact = True
    status: RateStatus | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        limit: int = getattr(settings, self.setting)
        if limit <= 0:
            return True
        user: object = request.user
        actor = user if isinstance(user, Actor) else None
        if actor is not None and request.META.get(BYPASS_HEADER) == "true":
            if SiteRole.OWNER not in actor.site_roles:
                raise BypassNotAllowed
            return True
        path = self.path_of(request)
        if len(path) > PATH_CHARACTERS:
            path = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        key = (self.name, self.caller_of(request), path)
        counted: tuple[Key, RateStatus] | None = request.META.get(COUNTED)
        if counted is not None and counted[0] == key:
            self.status = counted[1]
        else:
            report_every = 1 if self.exact else max(limit // REPORTS, 1)
            self.status = counters.hit(key, limit, report_every=report_every, may_wait=not request.META.get(ON_LOOP))
            request.META[COUNTED] = key, self.status
        record_status(request._request, self.status)
        return self.status.allowed

    def caller_of(self, request: Request) -> uuid.UUID | str:
        """Return what the hit is counted for: the actor's id, else the network of the address."""
        user: object = request.user
        return user.id if isinstance(user, Actor) else client_network(request._request)

    def path_of(self, request: Request) -> str:
        """Return the path that the hit is counted for; ``""`` counts all paths together."""
        return request._request.path_info

    def wait(self) -> float | None:
        return None if self.status is None else seconds_left(self.status)


class ApiThrottle(RateThrottle):
    """Limits all requests per user (or address) and path."""

    name = "api"
    setting = "RATELIMIT_API"
    exact = False


class UnknownPathThrottle(ApiThrottle):
    """Counts requests of a caller to paths that do not exist together: there is no end of such paths."""

    def path_of(self, request: Request) -> str:
        return ""


class UploadThrottle(RateThrottle):
    """Limits uploads per user. API and pages share the limit."""

    name = UPLOADS
    setting = "RATELIMIT_UPLOADS"

    def path_of(self, request: Request) -> str:
        return ""


class LoginThrottle(RateThrottle):
    """Limits password attempts per address, or per user for changes of their own password. API and pages share the
    limit."""

    name = LOGIN
    setting = "RATELIMIT_LOGIN"

    def path_of(self, request: Request) -> str:
        return ""


def seconds_left(status: RateStatus) -> float:
    return max(status.reset - time.time(), 1.0)


def record_status(request: HttpRequest, status: RateStatus) -> None:
    """Store the strictest status of a request for the response headers."""
    current: RateStatus | None = getattr(request, "rate_limit", None)
    if current is None or status.remaining < current.remaining or not status.allowed:
        request.rate_limit = status  # type: ignore[attr-defined]


def headers_of(request: HttpRequest) -> dict[str, str]:
    """Return the ``X-RateLimit-*`` headers of a response; none if no hit was counted."""
    status: RateStatus | None = getattr(request, "rate_limit", None)
    if status is None:
        return {}
    return {
        "X-RateLimit-Limit": str(status.limit),
        "X-RateLimit-Remaining": str(status.remaining),
        "X-RateLimit-Reset": str(math.ceil(status.reset)),
    }
