"""REST framework's throttles over the counters of ``identity.limits``, and the headers that report them."""

import math
import time
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from coderproj.base.errors import DomainError
from coderproj.identity.actor import Actor
from coderproj.identity.limits import LOGIN, REPORTS, UPLOADS, Key, Standing, counters, network_of
from coderproj.identity.roles import SiteRole

if TYPE_CHECKING:  # importing it here would be circular: it loads these classes
    from rest_framework.views import APIView

BYPASS_HEADER = "HTTP_X_CODER_BYPASS_RATELIMIT"


class MayNotBypass(DomainError):
    """Somebody other than an owner asked for requests without limits."""

    status_code = 428
    message = "Only owners may bypass rate limits."


class RateThrottle(BaseThrottle):
    """Limits by the number of a setting, 0 for no limit. Owners bypass it with ``X-Coder-Bypass-Ratelimit: true``."""

    name = ""
    setting = ""
    exact = True
    standing: Standing | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        limit: int = getattr(settings, self.setting)
        if limit <= 0:
            return True
        user: object = request.user
        actor = user if isinstance(user, Actor) else None
        if actor is not None and request.META.get(BYPASS_HEADER) == "true":
            if SiteRole.OWNER not in actor.site_roles:
                raise MayNotBypass
            return True
        key = (self.name, actor.id if actor else network_of(request._request), self.path_of(request))
        counted: tuple[Key, Standing] | None = getattr(request._request, "counted", None)
        if counted is not None and counted[0] == key:  # on the short way, which a compiled read gave up
            self.standing = counted[1]
        else:
            self.standing = counters.hit(key, limit, report_every=1 if self.exact else max(limit // REPORTS, 1))
            request._request.counted = key, self.standing  # type: ignore[attr-defined]
        note(request._request, self.standing)
        return self.standing.allowed

    def path_of(self, request: Request) -> str:
        """What is counted apart."""
        return request._request.path_info

    def wait(self) -> float | None:
        return None if self.standing is None else seconds_left(self.standing)


class ApiThrottle(RateThrottle):
    """Every request, by user (else address) and path."""

    name = "api"
    setting = "RATELIMIT_API"
    exact = False


class UploadThrottle(RateThrottle):
    """Uploads, by user. API and pages count together."""

    name = UPLOADS
    setting = "RATELIMIT_UPLOADS"

    def path_of(self, request: Request) -> str:
        return ""


class LoginThrottle(RateThrottle):
    """Tries of passwords, by address; by user for one's own password. API and pages count together."""

    name = LOGIN
    setting = "RATELIMIT_LOGIN"

    def path_of(self, request: Request) -> str:
        return ""


def seconds_left(standing: Standing) -> float:
    return max(standing.reset - time.time(), 1.0)


def note(request: HttpRequest, standing: Standing) -> None:
    """Keep the tightest standing of a request for its headers."""
    noted: Standing | None = getattr(request, "rate_limit", None)
    if noted is None or standing.remaining < noted.remaining or not standing.allowed:
        request.rate_limit = standing  # type: ignore[attr-defined]


def headers_of(request: HttpRequest) -> dict[str, str]:
    """The ``X-RateLimit-*`` headers of an answer; none where nothing was counted."""
    standing: Standing | None = getattr(request, "rate_limit", None)
    if standing is None:
        return {}
    return {
        "X-RateLimit-Limit": str(standing.limit),
        "X-RateLimit-Remaining": str(standing.remaining),
        "X-RateLimit-Reset": str(math.ceil(standing.reset)),
    }
