"""Permission checks on templates that the querysets do not cover, and the access lists of templates."""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from coderproj.base.errors import Forbidden, Invalid, NotFound, Problem
from coderproj.base.identifiers import parse_uuid
from coderproj.identity import audit, organizations
from coderproj.identity.actor import Actor
from coderproj.identity.groups import visible_groups, with_members
from coderproj.identity.models import AuditAction, Group, Organization, User, UserStatus
from coderproj.identity.organizations import organization_reference
from coderproj.identity.rbac import Action, Resource, allowed
from coderproj.identity.rights import RightsSource
from coderproj.identity.users import visible_users
from provisioning.models import ParameterScope
from provisioning.parameters import ScopeRule
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion


def authorize_in_organization(actor: Actor, action: Action, organization: Organization) -> None:
    """Check that the actor may do ``action`` with templates of the organization. Raises Forbidden for a member of the
    organization and NotFound for other users."""
    if allowed(actor, action, Resource.TEMPLATE, organization_id=organization.pk):
        return
    if organization.pk in actor.organization_roles:
        raise Forbidden
    raise NotFound


def find_organization(actor: Actor, reference: str) -> Organization:
    """Return the organization that a path names. Raises NotFound.

    The organization must be visible, or have a template whose access list names the actor; such an actor need not be a
    member (contract, evaluation of access lists).
    """
    try:
        return organizations.find_organization(actor, reference)
    except NotFound:
        match organization_reference(reference):
            case uuid.UUID() as organization_id:
                named = Q(organization=organization_id)
            case str() as name:
                named = Q(organization__name__iexact=name)
            case None:
                raise
        # The versions of a deleted template stay readable to the users on its access list.
        template = Template.objects.readable(actor).filter(named).select_related("organization").first()
        if template is None:
            raise
        return template.organization


def authorize(actor: Actor, action: Action, template: Template) -> None:
    """Check that the actor may do ``action`` on a readable template. Raises Forbidden, and NotFound for a template that
    was deleted in the meantime."""
    if Template.objects.manageable(actor, action).filter(pk=template.pk).exists():
        return
    if not Template.objects.existing().filter(pk=template.pk).exists():  # deleted since it was read
        raise NotFound
    raise Forbidden


# ---------------------------------------------------------------------- access lists
@dataclass(frozen=True, slots=True)
class AccessList:
    """The users and groups of an access list with their roles. Groups have ``shown_members`` by default."""

    users: Sequence[tuple[User, str]]
    groups: Sequence[tuple[Group, str]]


def access_list(
    actor: Actor, template: Template, *, members: Callable[[QuerySet[Group]], Iterable[Group]] = with_members
) -> AccessList:
    """Return the access list of a readable template: active users by username, and the groups that the actor may read
    by name, annotated by ``members``. Runs five queries, independent of the list's length."""
    entries = TemplateAccess.objects.filter(template=template).order_by()
    roles = {entry.user_id or entry.group_id: entry.role for entry in entries}
    users = User.objects.existing().filter(pk__in=sorted(filter(None, roles)), status=UserStatus.ACTIVE)
    groups = visible_groups(actor).filter(pk__in=sorted(filter(None, roles)))
    return AccessList(
        users=[(user, roles[user.pk]) for user in users.prefetch_related("memberships").order_by("username")],
        groups=[(group, roles[group.pk]) for group in members(groups.order_by("name", "id"))],
    )


def update_access_list(
    actor: Actor, template: Template, *, user_roles: Mapping[str, str], group_roles: Mapping[str, str]
) -> None:
    """Give users and groups, by id, the role ``use`` or ``admin`` on a template; an empty role removes the entry.

    Needs the right to create versions of the template. Raises Forbidden, and Invalid with a problem on ``user_perms``
    or ``group_perms`` for each invalid id, unknown user or group, and invalid role.
    """
    with audit.record(actor, AuditAction.WRITE, template) as entry:
        authorize(actor, Action.CREATE, template)
        listed = TemplateAccess.objects.filter(template=template)
        users = visible_users(actor) | User.objects.filter(pk__in=listed.filter(user__isnull=False).values("user"))
        user_changes, problems = _changes("user_perms", "user", user_roles, users)
        groups = Group.objects.filter(organization=template.organization_id)
        group_changes, more = _changes("group_perms", "group", group_roles, groups)
        if problems or more:
            raise Invalid(problems=(*problems, *more))
        for user_id, role in user_changes.items():
            _set(template, role, user_id=user_id)
        for group_id, role in group_changes.items():
            _set(template, role, group_id=group_id)
        entry.after = template


def revoke_everyone(actor: Actor, template: Template) -> None:
    """Remove the organization's group Everyone from the access list. The caller audits. Raises Forbidden."""
    authorize(actor, Action.CREATE, template)
    # The group Everyone has the id of its organization.
    TemplateAccess.objects.filter(template=template, group_id=template.organization_id).delete()


def _changes(
    field: str, what: str, roles: Mapping[str, str], known: QuerySet[User] | QuerySet[Group]
) -> tuple[dict[uuid.UUID, str], list[Problem]]:
    problems: list[Problem] = []
    changes: dict[uuid.UUID, str] = {}
    for text, role in roles.items():
        subject = parse_uuid(text)
        if subject is None:
            problems.append(Problem(field, f"{text[:64]!r} is not a UUID."))
        elif role not in {*AccessRole.values, ""}:
            problems.append(
                Problem(field, f"{role[:64]!r} is not a role. Use admin, use, or an empty text to remove the entry.")
            )
        else:
            changes[subject] = role
    found = set(known.filter(pk__in=list(changes)).values_list("pk", flat=True))
    problems += [Problem(field, f"The {what} {subject} does not exist.") for subject in changes if subject not in found]
    return changes, problems


def _set(template: Template, role: str, **subject: Any) -> None:
    """Store or remove the role of ``user_id`` or ``group_id``."""
    if role:
        TemplateAccess.objects.update_or_create(template=template, **subject, defaults={"role": role})
    else:
        TemplateAccess.objects.filter(template=template, **subject).delete()


# ---------------------------------------------------------------------- rights that not every administrator may give
def _administration_beyond(actor: Actor, entries: Q) -> bool:
    """Return True if one of these entries gives the administration of a template whose access list the actor may not
    change."""
    listed = TemplateAccess.objects.filter(entries, role=AccessRole.ADMIN, template__deleted=False)
    return listed.exclude(template__in=Template.objects.manageable(actor, Action.CREATE)).exists()


def user_administers_beyond(actor: Actor, user: User) -> bool:
    holder = Actor.of(user)
    return _administration_beyond(actor, Q(user=user) | Q(group__in=holder.group_ids))


def groups_administer_beyond(actor: Actor, groups: Collection[Group]) -> bool:
    return _administration_beyond(actor, Q(group__in=[group.pk for group in groups]))


RIGHTS = [RightsSource(user_administers_beyond, groups_administer_beyond)]


# ---------------------------------------------------------------------- parameters
def authorize_on_template(actor: Actor, action: Action, template_id: uuid.UUID) -> None:
    """Check access to the stored parameter values of a template. Raises NotFound and Forbidden."""
    template = Template.objects.visible(actor).filter(pk=template_id).first()
    if template is None:
        raise NotFound
    if action != Action.READ:
        authorize(actor, action, template)


def authorize_on_import(actor: Actor, action: Action, job_id: uuid.UUID) -> None:
    """Check access to the stored parameter values of a version's import. Raises NotFound and Forbidden."""
    versions = TemplateVersion.objects.filter(job=job_id)
    if not versions.visible(actor).exists():
        raise NotFound
    if action != Action.READ and not versions.manageable(actor).exists():
        raise Forbidden


PARAMETER_SCOPES = [
    ScopeRule(ParameterScope.TEMPLATE, authorize_on_template),
    ScopeRule(ParameterScope.IMPORT_JOB, authorize_on_import),
]
