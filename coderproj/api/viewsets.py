"""The base classes of viewsets: one class per resource of the API, with explicit paths for its actions in
``urls.py``."""

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework.metadata import SimpleMetadata
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from coderproj.api.authentication import SAFE_METHODS, reject_cross_site
from coderproj.api.permissions import Public
from coderproj.api.views import ApiView
from coderproj.base.envelope import envelope
from coderproj.base.errors import DomainError, NotFound
from coderproj.base.identifiers import path_uuid

SerializerClass = type[BaseSerializer[Any]]


class Description(SimpleMetadata):
    """The response to OPTIONS, without the fields of request bodies. The API's schema has those, and determining which
    bodies the caller may send would run the checks of each action."""

    def determine_actions(self, request: Request, view: APIView) -> dict[str, Any]:
        return {}


class ApiViewSet(ApiView, GenericViewSet[Any]):
    """A resource of the API.

    - ``get_queryset`` returns the visible rows; ``get_object`` returns the one whose id is in the path parameter
      ``lookup_url_kwarg``.
    - ``serializer_class`` describes responses; ``serializer_classes`` those of actions with another response.
      ``body_classes`` has the request body of each action with a body. The API's schema is generated from these.
    - ``action_throttles`` has the throttles of actions that differ from ``throttle_classes``.
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
        """Return the serializer of the action's response."""
        return self.serializer_classes.get(self.action) or super().get_serializer_class()

    def get_body_class(self) -> SerializerClass | None:
        """Return the serializer of the action's request body, or None without a body."""
        return self.body_classes.get(self.action)

    def get_serializer_context(self) -> dict[str, Any]:
        return {"request": self.request, "view": self}

    def get_object(self) -> Any:
        """Return the visible row whose id is in the path. Raises NotFound, and DomainError for an invalid id."""
        name = self.lookup_url_kwarg
        assert name is not None
        found = self.get_queryset().filter(pk=path_uuid(name, self.kwargs[name])).first()
        if found is None:
            raise NotFound
        return found

    def read_body(self) -> dict[str, Any]:
        """Return the validated request body of the action. Raises Invalid with a problem for each invalid field."""
        body_class = self.get_body_class()
        assert body_class is not None
        if not isinstance(self.request.data, dict):
            raise DomainError("Request body must be a JSON object.")
        serializer = body_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        validated: dict[str, Any] = serializer.validated_data
        return validated

    def respond(self, instance: Any, status: int = 200, *, many: bool = False) -> Response:
        """Return a response with the action's serializer."""
        return Response(self.get_serializer(instance, many=many).data, status=status)

    def confirm(self, message: str) -> Response:
        """Return a response that only confirms."""
        return Response(envelope(message))


class PublicViewSet(ApiViewSet):
    """A resource without sign-in; credentials are not read. The docstring of each action must give the reason.

    Writes by pages of other sites are rejected: they could sign a browser in as another user.
    """

    permission_classes = (Public,)
    authentication_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method not in SAFE_METHODS:
            reject_cross_site(request._request)
        super().initial(request, *args, **kwargs)
