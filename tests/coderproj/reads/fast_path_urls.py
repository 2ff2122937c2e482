"""A viewset whose action raises a given exception on the fast path, and answers on the regular path."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.urls import path
from rest_framework.exceptions import Throttled, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import Forbidden, Invalid, NotFound
from coderproj.identity.authentication import CachedActor
from coderproj.reads.compiled import Read
from coderproj.reads.viewsets import CompiledReads
from templates_app import reads

EXPECTED = {
    "not-found": NotFound(),
    "forbidden": Forbidden(),
    "invalid": Invalid.field("limit", "Must be a number."),
    "throttled": Throttled(),
    "validation": ValidationError("No."),
    "http404": Http404(),
    "denied": PermissionDenied(),
}
UNEXPECTED = {"runtime": RuntimeError("a broken read"), "type": TypeError("cannot compile it"), "key": KeyError("gone")}


class ProbeViewSet(CompiledReads, ApiViewSet):
    compiled_reads: dict[str, Read] = {"retrieve": reads.TEMPLATE}

    def retrieve(self, request: Request, outcome: str) -> HttpResponse:
        if isinstance(request.user, CachedActor):
            raise {**EXPECTED, **UNEXPECTED}[outcome]
        return Response({"path": "regular"})


urlpatterns = [path("api/v2/probe/<str:outcome>", ProbeViewSet.as_view({"get": "retrieve"}))]
