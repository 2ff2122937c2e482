"""The audit log of the data: what its users did, as the services would have recorded it."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from string import ascii_letters
from typing import Any

from django.db import models

from coderproj.base.identifiers import NIL
from coderproj.demo.data import words
from coderproj.demo.data.chance import Chance
from coderproj.demo.data.lives import Life
from coderproj.demo.data.people import People
from coderproj.demo.data.templates import Templates
from coderproj.demo.data.workspaces import Workspaces
from coderproj.identity.audit import SECRET, UNKNOWN_ACCOUNT, policies
from coderproj.identity.models import ApiKey, AuditAction, AuditLog, User
from provisioning.engine.base import Transition
from provisioning.models import JobStatus
from templates_app.workspaces.models import WorkspaceBuild
from templates_app.workspaces.services.builds import AUDITED

SIGN_INS, FAILED_SIGN_INS = 900, 60


@dataclass(slots=True)
class History:
    """Makes the rows about everything else that was made."""

    chance: Chance
    now: datetime
    organization_id: uuid.UUID

    def rows(self, people: People, templates: Templates, workspaces: Workspaces) -> Iterator[AuditLog]:
        yield from self._of_people(people)
        yield from self._of_templates(templates)
        for life in workspaces.lives:
            yield from self._of_life(life)
        yield from self._of_builds(workspaces.builds)
        yield from self._of_sign_ins(people)

    def _of_people(self, people: People) -> Iterator[AuditLog]:
        admin = people.user_admin.user
        members: dict[uuid.UUID, list[str]] = {group.pk: [] for group in people.groups}
        for member in people.members:
            members[member.group_id].append(str(member.user_id))
        for group in people.groups:
            # The group had no members at first.
            yield self._created(admin, group, group.created_at, related={"members": []})
        allowance = {"quota_allowance": _change(0, people.everyone.quota_allowance)}
        moment = people.everyone.created_at + timedelta(hours=6)
        yield self._row(admin, AuditAction.WRITE, people.everyone, moment, allowance)
        for person in people.persons:
            yield self._created(admin, person.user, person.user.created_at)
            if not person.is_active:
                change = {"status": _change("active", "suspended")}
                yield self._row(admin, AuditAction.WRITE, person.user, person.user.updated_at, change)
        for group in people.groups:
            change = {"members": _change([], sorted(members[group.pk]))}
            yield self._row(admin, AuditAction.WRITE, group, self.now - timedelta(days=2), change)

    def _of_templates(self, templates: Templates) -> Iterator[AuditLog]:
        access: dict[uuid.UUID, dict[str, str]] = {}
        for entry in templates.access:
            if entry.user_id:
                access.setdefault(entry.template_id, {})[str(entry.user_id)] = entry.role
        for line in templates.lines:
            template, author = line.template, line.author.user
            for version in line.versions:
                by = version.created_by
                yield self._created(by, version, version.created_at)
            first = {"active_version_id": str(line.active[0].pk)}
            related = {"user_acl": {}, "group_acl": {str(group): "use" for group in line.groups}, **first}
            yield self._created(author, template, template.created_at, related=related)
            before = line.active[0]
            for version, moment in list(zip(line.active, line.promoted, strict=True))[1:]:
                change = {"active_version_id": _change(str(before.pk), str(version.pk))}
                yield self._row(version.created_by, AuditAction.WRITE, template, moment, change)
                before = version
            if template.pk in access:
                change = {"user_acl": _change({}, access[template.pk])}
                moment = template.created_at + timedelta(hours=2)
                yield self._row(author, AuditAction.WRITE, template, moment, change)

    def _of_life(self, life: Life) -> Iterator[AuditLog]:
        yield self._created(life.owner.user, life.workspace, life.workspace.created_at)

    def _of_builds(self, builds: list[WorkspaceBuild]) -> Iterator[AuditLog]:
        before: WorkspaceBuild | None = None
        policy = policies()[WorkspaceBuild]
        for build in sorted(builds, key=lambda build: (build.workspace_id, build.build_number)):
            job, workspace = build.job, build.workspace
            earlier = before if before is not None and before.workspace_id == build.workspace_id else None
            before = build
            if job.completed_at is None:
                continue
            old, new = str(earlier.template_version_id) if earlier else "", str(build.template_version_id)
            yield AuditLog(
                id=self.chance.id(),
                time=job.completed_at,
                user_id=build.initiator_id,
                username=build.initiator.username,
                organization_id=workspace.organization_id,
                resource_type=policy.resource_type,
                resource_id=str(build.pk),
                resource_target=build.name,
                action=AUDITED[Transition(build.transition)],
                diff={"template_version_id": _change(old, new)} if old != new else {},
                status_code=200 if job.status in {JobStatus.SUCCEEDED, JobStatus.CANCELED} else 500,
                request_id=job.pk,
                additional_fields={
                    "workspaceName": workspace.name,
                    "buildNumber": str(build.build_number),
                    "buildReason": build.reason,
                },
            )

    def _of_sign_ins(self, people: People) -> Iterator[AuditLog]:
        """Yield sign-ins of the last 30 days, and wrong passwords."""
        for number in range(SIGN_INS + FAILED_SIGN_INS):
            is_wrong = number >= SIGN_INS
            user = self.chance.choice(people.persons).user
            since = max(user.created_at, self.now - timedelta(days=30))
            row = self._row(user, AuditAction.LOGIN, user, self.chance.at_work(since, self.now), {})
            row.resource_type = policies()[ApiKey].resource_type
            row.status_code = 401 if is_wrong else 201
            if not is_wrong:  # the id of the session
                row.resource_target = "".join(self.chance.choices(ascii_letters, k=10))
            if is_wrong and number % 3 == 0:
                row.user_id, row.username, row.resource_id, row.resource_target = None, "", str(NIL), UNKNOWN_ACCOUNT
            yield row

    def _created(
        self, user: User, instance: models.Model, moment: datetime, *, related: Mapping[str, Any] | None = None
    ) -> AuditLog:
        """Return the row about a new object with its tracked fields; ``related`` has values of other tables, or those
        that have changed since."""
        policy = policies()[type(instance)]
        values = {name: _plain(getattr(instance, name)) for name in policy.tracked} | dict(related or {})
        diff = {name: _change(None, value) for name, value in values.items() if value is not None}
        diff |= {name: {"old": "", "new": SECRET, "secret": True} for name in policy.secret}
        row = self._row(user, AuditAction.CREATE, instance, moment, diff)
        row.status_code = 201
        return row

    def _row(self, user: User, action: AuditAction, instance: Any, moment: datetime, diff: dict[str, Any]) -> AuditLog:
        policy = policies()[type(instance)]
        return AuditLog(
            id=self.chance.id(),
            time=moment,
            user_id=user.pk,
            username=user.username,
            organization_id=getattr(instance, "organization_id", None),
            ip=f"{words.ADDRESSES[user.pk.int % 3]}{user.pk.int % 250 + 1}",
            user_agent=words.BROWSERS[user.pk.int % 7 % 3],
            resource_type=policy.resource_type,
            resource_id=str(getattr(instance, policy.identity)),
            resource_target=str(getattr(instance, policy.target)),
            resource_icon=getattr(instance, "icon", ""),
            action=action,
            diff=diff,
            status_code=200,
            request_id=self.chance.id(),
        )


def _change(old: Any, new: Any) -> dict[str, Any]:
    return {"old": old, "new": new, "secret": False}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, uuid.UUID) else value
