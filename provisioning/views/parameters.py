"""Endpoints of stored parameter values. The values themselves are never shown."""

import uuid

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.api.schema import ConfirmationSerializer, path_id
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import Invalid
from coderproj.base.identifiers import parse_uuid
from coderproj.identity.rbac import Action
from provisioning import parameters
from provisioning.models import ParameterScope
from provisioning.serializers.parameters import StoredParameterSerializer, StoreParameterBody

SCOPE = OpenApiParameter("scope", str, OpenApiParameter.PATH, enum=ParameterScope.values)
PATH = [SCOPE, path_id("id")]


class ParameterViewSet(ApiViewSet):
    """The stored values of a scope: a template or an import job."""

    serializer_class = StoredParameterSerializer
    body_classes = {"create": StoreParameterBody}

    def find_scope(self, action: Action) -> tuple[ParameterScope, uuid.UUID]:
        """Return the scope if the caller may do ``action`` in it. Raises Invalid, naming ``scope`` or ``id``, NotFound
        and Forbidden."""
        scope, scope_id = self.kwargs["scope"], parse_uuid(self.kwargs["id"])
        if scope not in ParameterScope.values:
            raise Invalid.field("scope", f"Must be one of {', '.join(ParameterScope.values)}.")
        if scope_id is None:
            raise Invalid.field("id", "Must be a valid UUID.")
        parameters.authorize(self.actor, action, ParameterScope(scope), scope_id)
        return ParameterScope(scope), scope_id

    @extend_schema(operation_id="parameters", parameters=PATH)
    def list(self, request: Request, scope: str, id: str) -> Response:  # noqa: A002 - the path's name for it
        """List the stored values of a template or an import job, by name."""
        return self.respond(parameters.stored(*self.find_scope(Action.READ)), many=True)

    @extend_schema(operation_id="create_parameter", parameters=PATH)
    def create(self, request: Request, scope: str, id: str) -> Response:  # noqa: A002
        """Store a value for a template or an import job."""
        found, scope_id = self.find_scope(Action.UPDATE)
        return self.respond(parameters.create(self.actor, found, scope_id, **self.read_body()), status=201)

    @extend_schema(operation_id="delete_parameter", parameters=PATH, responses={200: ConfirmationSerializer})
    def destroy(self, request: Request, scope: str, id: str, name: str) -> Response:  # noqa: A002
        """Delete a stored parameter value."""
        parameters.delete(self.actor, *self.find_scope(Action.UPDATE), name)
        return self.confirm("Parameter has been deleted.")
