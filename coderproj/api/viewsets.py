"""The base of every viewset: one class for each resource of the API, its actions on explicit paths in ``urls.py``."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from coderproj.api.permissions import Public
from coderproj.api.views import ApiView
from coderproj.base.envelope import envelope
from coderproj.base.errors import DomainError, NotFound
from coderproj.base.identifiers import path_uuid

SerializerClass = type[BaseSerializer[Any]]


class Description(SimpleMetadata):
    """The answer to OPTIONS, without the fields of request bodies: the API's schema has these, and finding out which
    bodies the caller may send would run each action's checks."""

    def determine_actions(self, request: Request, view: APIView) -> dict[str, Any]:
        return {}


class ApiViewSet(ApiView, GenericViewSet[Any]):
    """A resource of the API.

    - ``get_queryset`` returns the rows that the actor may see; ``get_object`` finds the one that the path names by its
      id, the path parameter ``lookup_url_kwarg``.
    - ``serializer_class`` describes answers; ``serializer_classes`` those of actions that answer something else.
      ``body_classes`` has the request body of each action that reads one. The API's schema is made from these.
    - ``action_throttles`` has the throttles of actions that are limited otherwise than ``throttle_classes`` says.
    - ``filterset_class`` and ``pagination_class`` work on ``list``.

    Writes call services, which decide and audit.
    """

    metadata_class = Description
    serializer_classes: ClassVar[Mapping[str, SerializerClass]] = {}
    body_classes: ClassVar[Mapping[str, SerializerClass]] = {}
    action_throttles: ClassVar[Mapping[str, tuple[type[BaseThrottle], ...]]] = {}

    def get_throttles(self) -> list[BaseThrottle]:
        return [throttle() for throttle in self.action_throttles.get(self.action, self.throttle_classes)]

    def get_serializer_class(self) -> SerializerClass:
        """The serializer of the action's answer."""
        return self.serializer_classes.get(self.action) or super().get_serializer_class()

    def get_body_class(self) -> SerializerClass | None:
        """The serializer of the action's request body; None where none is read."""
        return self.body_classes.get(self.action)

    def get_serializer_context(self) -> dict[str, Any]:
        return {"request": self.request, "view": self}

    def get_object(self) -> Any:
        """The visible row that the path names. Raises NotFound, and DomainError for an id that is none."""
        name = self.lookup_url_kwarg
        assert name is not None
        found = self.get_queryset().filter(pk=path_uuid(name, self.kwargs[name])).first()
        if found is None:
            raise NotFound
        return found

    def read_body(self) -> dict[str, Any]:
        """The validated request body of the action. Raises Invalid with a problem for each bad field."""
        body_class = self.get_body_class()
        assert body_class is not None
        if not isinstance(self.request.data, dict):
            raise DomainError("Request body must be a JSON object.")
        serializer = body_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        validated: dict[str, Any] = serializer.validated_data
        return validated

    def respond(self, instance: Any, status: int = 200, *, many: bool = False) -> Response:
        """An answer as the action's serializer writes it."""
        return Response(self.get_serializer(instance, many=many).data, status=status)

    def confirm(self, message: str) -> Response:
        """An answer that only confirms."""
        return Response(envelope(message))


class PublicViewSet(ApiViewSet):
    """A resource that needs no sign-in: credentials are not read. Say why in the docstring of each action."""

    permission_classes = (Public,)
    authentication_classes = ()
