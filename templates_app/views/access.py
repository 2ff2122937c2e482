"""Access lists of templates, permission checks, and the templates of all organizations."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from coderproj.accounts.serializers.groups import GroupSerializer
from coderproj.accounts.serializers.users import UserSerializer, user_context
from coderproj.api.schema import ConfirmationSerializer, path_id
from coderproj.api.views import ApiView
from coderproj.base import filtering
from coderproj.base.errors import Invalid, Problem
from coderproj.base.identifiers import NIL, parse_uuid
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction
from coderproj.identity.rbac import Action
from coderproj.identity.users import ME
from templates_app.filters import TemplateFilter, search_templates
from templates_app.serializers.access import ANY_ACTION, AccessListAnswer, AuthCheckBody, UpdateAccessListBody
from templates_app.serializers.templates import TemplateSerializer
from templates_app.services import access
from templates_app.services.checks import Check, may
from templates_app.views.base import OfTemplate

TEMPLATE_ID = [path_id("template")]
MAX_CHECKS = 200


class AccessListView(OfTemplate):
    """Who may use or administer a template, besides the roles that may anyway."""

    @extend_schema(operation_id="template_acl", parameters=TEMPLATE_ID, responses={200: AccessListAnswer})
    def get(self, request: Request, template: str) -> Response:
        listed = access.access_list(self.actor, self.find_template())
        context = user_context(self.actor)
        return Response(
            {
                "users": [{**UserSerializer(user, context=context).data, "role": role} for user, role in listed.users],
                "group": [{**GroupSerializer(group).data, "role": role} for group, role in listed.groups],
            }
        )

    @extend_schema(
        operation_id="update_template_acl",
        parameters=TEMPLATE_ID,
        request=UpdateAccessListBody,
        responses={200: ConfirmationSerializer},
    )
    def patch(self, request: Request, template: str) -> Response:
        found = self.find_template()
        with audit.refused(self.actor, AuditAction.WRITE, found):
            access.authorize(self.actor, Action.CREATE, found)
            body = self.body(UpdateAccessListBody)
        access.update_access_list(self.actor, found, user_roles=body["user_perms"], group_roles=body["group_perms"])
        return self.answer("Successfully updated template ACL list.")


class AuthCheckView(ApiView):
    """What the caller may do: each check by its name, true or false. Types that we do not have are false."""

    @extend_schema(
        operation_id="authcheck",
        request=AuthCheckBody,
        responses={200: {"type": "object", "additionalProperties": {"type": "boolean"}}},
    )
    def post(self, request: Request) -> Response:
        checks = self.body(AuthCheckBody)["checks"]
        if len(checks) > MAX_CHECKS:
            raise Invalid.field("checks", f"At most {MAX_CHECKS} checks at a time.")
        parsed = {name: check_of(self.actor, name, check) for name, check in checks.items()}
        return Response({name: may(self.actor, check) for name, check in parsed.items()})


def check_of(actor: Actor, name: str, body: dict[str, Any]) -> Check:
    """The check that a validated body describes. Raises Invalid for an id that is none."""
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


class TemplatesView(ApiView):
    """The templates one may see, in all organizations."""

    @extend_schema(
        operation_id="templates",
        parameters=filtering.parameters(TemplateFilter),
        responses={200: TemplateSerializer(many=True)},
    )
    def get(self, request: Request) -> Response:
        rows = search_templates(self.actor, request.query_params)
        return Response(TemplateSerializer(rows.most_used_first(), many=True).data)
