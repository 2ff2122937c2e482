"""Access lists of templates, and permission checks."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.groups import GroupSerializer
from coderproj.accounts.serializers.users import UserSerializer, user_context
from coderproj.api.schema import ConfirmationSerializer, path_id
from coderproj.api.viewsets import ApiViewSet
from coderproj.base.errors import Invalid, Problem
from coderproj.base.identifiers import NIL, parse_uuid
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from coderproj.identity.rbac import Action
from coderproj.identity.users import ME
from templates_app.serializers.access import ANY_ACTION, AccessListAnswer, AuthCheckBody, UpdateAccessListBody
from templates_app.services import access
from templates_app.services.checks import Check, may
from templates_app.views.base import OfTemplate

TEMPLATE_ID = [path_id("template")]
MAX_CHECKS = 200


class AccessListViewSet(OfTemplate):
    """The access list of a template."""

    serializer_class = AccessListAnswer
    body_classes = {"partial_update": UpdateAccessListBody}

    @extend_schema(operation_id="template_acl", parameters=TEMPLATE_ID)
    def retrieve(self, request: Request, template: str) -> Response:
        """List the users and groups with a role on the template. Other users may have access by their roles."""
        listed = access.access_list(self.actor, self.find_template())
        context = user_context(self.actor)
        return Response(
            {
                "users": [{**UserSerializer(user, context=context).data, "role": role} for user, role in listed.users],
                "group": [{**GroupSerializer(group).data, "role": role} for group, role in listed.groups],
            }
        )

    @extend_schema(operation_id="update_template_acl", parameters=TEMPLATE_ID, responses={200: ConfirmationSerializer})
    def partial_update(self, request: Request, template: str) -> Response:
        """Change the roles of users and groups on the template."""
        found = self.find_template()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            access.authorize(self.actor, Action.CREATE, found)
            body = self.read_body()
        access.update_access_list(self.actor, found, user_roles=body["user_perms"], group_roles=body["group_perms"])
        return self.confirm("Successfully updated template ACL list.")


class AuthCheckViewSet(ApiViewSet):
    """Checks of the caller's permissions."""

    body_classes = {"create": AuthCheckBody}

    @extend_schema(
        operation_id="authcheck",
        responses={200: {"type": "object", "additionalProperties": {"type": "boolean"}}},
    )
    def create(self, request: Request) -> Response:
        """Check the caller's permissions. The response has true or false for each check; unknown types give false."""
        checks = self.read_body()["checks"]
        if len(checks) > MAX_CHECKS:
            raise Invalid.field("checks", f"Must be at most {MAX_CHECKS} checks.")
        parsed = {name: check_of(self.actor, name, check) for name, check in checks.items()}
        return Response({name: may(self.actor, check) for name, check in parsed.items()})


def check_of(actor: Actor, name: str, body: dict[str, Any]) -> Check:
    """Return the check of a validated body. Raises Invalid for an invalid id."""
    given = body["object"]
    ids: dict[str, uuid.UUID | None] = {}
    for field in ("owner_id", "organization_id", "resource_id"):
        text = given[field]
        value = actor.id if field == "owner_id" and text == ME else parse_uuid(text)
        if text and value is None:
            raise Invalid(problems=(Problem(f"checks.{name}.object.{field}", "Must be a valid UUID."),))
        ids[field] = None if value == NIL else value
    actions = tuple(Action) if body["action"] == ANY_ACTION else (Action(body["action"]),)
    return Check(resource_type=given["resource_type"], actions=actions, **ids)
