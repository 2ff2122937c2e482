"""The OpenAPI schema, and a page to read and try it."""

from functools import lru_cache

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from rest_framework.request import Request

from coderproj.api.permissions import Public
from coderproj.api.views import ApiView
from coderproj.base.json_text import to_json
from coderproj.reads.compiled import json_answer


class OpenApiView(ApiView):
    """Return the OpenAPI 3 schema. Public, because it contains no data of the deployment."""

    permission_classes = (Public,)
    authentication_classes = ()
    schema = None

    def get(self, request: Request) -> HttpResponse:
        return json_answer(description())


@lru_cache(maxsize=1)
def description() -> bytes:
    """Return the schema as JSON. It takes about a second and is generated once per process."""
    return to_json(SchemaGenerator().get_schema(request=None, public=True)).rstrip()


@require_safe
@csp_update({"img-src": ["'self'", "data:"], "style-src": ["'self'", "'unsafe-inline'"]})
def swagger(request: HttpRequest) -> HttpResponse:
    """Return Swagger UI from our own static files. Public; requests use the token that the user enters.

    It needs inline styles and images, which the policy of other pages forbids.
    """
    return render(request, "coderproj/swagger.html")
