"""A deployment with a given number of objects of each type, and the values of path parameters."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from coderproj.identity import audit, tokens
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, Group, GroupMembership, LoginType, Membership, User
from provisioning import keys
from provisioning.engine import base
from provisioning.engine.base import Transition
from provisioning.log import writing
from provisioning.models import ParameterScope, ParameterValue, ProvisionerDaemon, WorkspaceAgent
from templates_app.models import AccessRole, TemplateAccess
from templates_app.workspaces.services import builds
from templates_app.workspaces.services.values import NamedValue
from tests.factories import (
    finish,
    make_file,
    make_job,
    make_organization,
    make_template,
    make_user,
    make_version,
    make_workspace,
)

PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass
class World:
    """``owner`` sends the requests; ``values`` replace the parameters of paths."""

    owner: User
    values: dict[str, str] = field(default_factory=dict)

    def path(self, pattern: str) -> str:
        """Return a route's pattern with its parameters replaced. Raises KeyError for a parameter without a value."""
        return PARAMETER.sub(lambda match: self.values[match[1]], pattern)


def fast_settings() -> override_settings:
    """Return the settings of ``conftest`` for fixtures of a wider scope: fast passwords, no rate limits."""
    return override_settings(
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        RATELIMIT_API=0,
        RATELIMIT_LOGIN=0,
        RATELIMIT_ACCOUNT=0,
        RATELIMIT_UPLOADS=0,
    )


@contextmanager
def rolled_back_world(count: int) -> Iterator[World]:
    """Yield a world for a fixture of a wider scope, and roll it back."""
    with fast_settings(), transaction.atomic():
        yield make_world(count)
        transaction.set_rollback(True)


def make_world(count: int) -> World:
    """Create ``count`` organizations, members, groups, templates, versions, results, log lines, tokens, values, daemons
    and audit rows; ``values`` names the last of each. There is an additional version before the last one."""
    organization = make_organization("acme", is_default=True)
    owner = make_user("ada", organizations=(organization,), site_roles=("owner",))
    others = [make_organization() for _ in range(count - 1)]
    Membership.objects.bulk_create(Membership(organization=row, user=owner) for row in others)
    members = [make_user(organizations=(organization, *others)) for _ in range(count)]
    file = make_file(owner)

    templates = [
        make_template(user=owner, organization=organization, result=import_result(count)) for _ in range(count)
    ]
    template = templates[-1]
    versions = [
        make_version(
            user=member,
            organization=organization,
            template=template,
            result=import_result(count),
            schemas=schemas(count),
        )
        for member in members
    ]
    version = versions[-1]
    dry_runs = [
        make_job(user=owner, organization=organization, job_input={"template_version_id": str(version.pk)})
        for _ in range(count)
    ]
    for job in dry_runs:
        finish(job, result=import_result(count).start)
    for job in (version.job, dry_runs[-1]):
        for number in range(count):
            writing.note(job, base.LogLevel.INFO, f"line {number}")
    built = base.BuildResult(import_result(count).start.resources)
    given = [NamedValue(f"rich-{number}", "0") for number in range(count)]
    workspaces = [
        make_workspace(user=owner, template=template, version_id=version.pk, result=built, rich_values=given)
        for _ in range(count)
    ]
    workspace = workspaces[-1]
    for _ in range(count):
        build = builds.create(Actor.of(owner), workspace, builds.NewBuild(Transition.START))
        finish(build.job, result=built, state=b"{}")
    for number in range(count):
        writing.note(build.job, base.LogLevel.INFO, f"line {number}")
    for _ in range(count):
        make_job(user=owner, organization=organization)  # pending

    groups = [Group.objects.create(organization=organization, name=f"group-{number}") for number in range(count)]
    GroupMembership.objects.bulk_create(
        GroupMembership(group=group, user=member) for group in groups for member in members
    )
    TemplateAccess.objects.bulk_create(
        [
            *(TemplateAccess(template=template, group=group, role=AccessRole.USE) for group in groups),
            *(TemplateAccess(template=template, user=member, role=AccessRole.ADMIN) for member in members),
        ]
    )
    for number in range(count):
        key, _ = tokens.issue(user=owner, login_type=LoginType.TOKEN, name=f"name-{number}")
        ParameterValue.objects.create(
            scope=ParameterScope.TEMPLATE, scope_id=template.pk, name=f"name-{number}", source_value="x"
        )
        ProvisionerDaemon.objects.create(name=f"daemon-{number}", last_seen_at=timezone.now(), provisioners=["echo"])
        keys.create(Actor.of(owner), organization, name=f"key-{number}")
        with audit.record(Actor.of(members[number]), AuditAction.CREATE) as entry:
            entry.after = templates[number]
    return World(
        owner,
        {
            "organization": str(organization.pk),
            "template": str(template.pk),
            "templatename": template.name,
            "templateversion": str(version.pk),
            "templateversionname": version.name,
            "job": str(dry_runs[-1].pk),
            "job_id": str(dry_runs[-1].pk),
            "file": str(file.pk),
            "scope": ParameterScope.TEMPLATE.value,
            "id": str(template.pk),
            "user": str(owner.pk),
            "workspace": str(workspace.pk),
            "workspacename": workspace.name,
            "workspacebuild": str(build.pk),
            "workspaceagent": str(WorkspaceAgent.objects.filter(resource__job=build.job_id)[0].pk),
            "buildnumber": str(build.build_number),
            "group": str(groups[-1].pk),
            "key": key.pk,
            "name": f"name-{count - 1}",
        },
    )


def import_result(count: int) -> base.ImportResult:
    """Return ``count`` resources with ``count`` agents, apps and metadata each, and ``count`` rich parameters with
    options."""
    numbers = range(count)
    apps = tuple(base.App(slug=f"app-{number}") for number in numbers)
    agents = tuple(base.Agent(name=f"agent-{number}", apps=apps) for number in numbers)
    metadata = tuple(base.ResourceMetadata(f"key-{number}", "value") for number in numbers)
    resources = tuple(
        base.Resource(name=f"resource-{number}", type="null_resource", agents=agents, metadata=metadata)
        for number in numbers
    )
    options = tuple(base.RichParameterOption(f"Option {number}", str(number)) for number in numbers)
    parameters = tuple(base.RichParameter(name=f"rich-{number}", options=options) for number in numbers)
    plan = base.PlanResult(resources=resources, rich_parameters=parameters)
    return base.ImportResult(start=plan, stop=plan)


def schemas(count: int) -> tuple[base.ParameterSchema, ...]:
    return tuple(base.ParameterSchema(name=f"variable_{number}", default_source_value="x") for number in range(count))
