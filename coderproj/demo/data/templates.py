"""The templates of the data with their versions, imports and dry runs, and who may use them."""

import hashlib
import uuid
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from coderproj.demo.data import words
from coderproj.demo.data.catalogue import FAMILIES, SORTS, Family, Sort, archive, readme
from coderproj.demo.data.chance import Chance
from coderproj.demo.data.jobs import Jobs
from coderproj.demo.data.people import People, Person
from provisioning.engine.base import Stage, Transition
from provisioning.models import File, ParameterSchema, Provisioner, WorkspaceResource
from provisioning.models.parameters import DestinationScheme, SourceScheme
from templates_app.job_kinds import JobType
from templates_app.models import AccessRole, RichParameter, Template, TemplateAccess, TemplateVersion

HOUR_MS = 3_600_000
OLDEST_DAYS, NEWEST_DAYS = 420, 25
IMPORTS_FAIL, IMPORTS_CANCELED, NOT_PROMOTED = 0.08, 0.02, 0.05
DRY_RUNS_FAIL = 0.07
IMPORT_STAGES = (
    (Stage.SETTING_UP.value, 0.0, ()),
    (Stage.README.value, 0.04, ()),
    (Stage.PARSING.value, 0.06, ("Found the variables of main.tf",)),
    (Stage.INSTALLING.value, 0.12, ("Installing coder/coder", "Installed coder/coder")),
    (Stage.PERSISTENT.value, 0.4, ("Terraform plan", "Plan: 3 to add, 0 to change, 0 to destroy.")),
    (Stage.EPHEMERAL.value, 0.7, ("Terraform plan", "Plan: 1 to add, 0 to change, 0 to destroy.")),
    (Stage.CLEANING_UP.value, 0.97, ()),
)
DRY_RUN_STAGES = (
    (Stage.SETTING_UP.value, 0.0, ()),
    (Stage.PERSISTENT.value, 0.1, ("Terraform plan", "Plan: 3 to add, 0 to change, 0 to destroy.")),
    (Stage.CLEANING_UP.value, 0.95, ()),
)


@dataclass(slots=True)
class Line:
    """A template and its versions. ``promoted`` are the times at which a version became the active one, ascending, with
    ``active`` as the versions. ``groups`` may use the template."""

    sort: Sort
    template: Template
    author: Person
    versions: list[TemplateVersion] = field(default_factory=list)
    promoted: list[datetime] = field(default_factory=list)
    active: list[TemplateVersion] = field(default_factory=list)
    groups: set[uuid.UUID] = field(default_factory=set)

    @property
    def family(self) -> Family:
        return FAMILIES[self.sort.family]

    def active_at(self, moment: datetime) -> TemplateVersion:
        return self.active[max(bisect_right(self.promoted, moment) - 1, 0)]


@dataclass(slots=True)
class Templates:
    """Makes the templates. The lists are rows to be stored, besides those of ``jobs``."""

    chance: Chance
    now: datetime
    people: People
    organization_id: uuid.UUID
    jobs: Jobs
    lines: list[Line] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    schemas: list[ParameterSchema] = field(default_factory=list)
    parameters: list[RichParameter] = field(default_factory=list)
    resources: list[WorkspaceResource] = field(default_factory=list)
    access: list[TemplateAccess] = field(default_factory=list)

    def make(self, count: int, versions: int) -> None:
        """Make this number of templates and of versions of all of them. Templates that are used more have more."""
        sorts = SORTS[:count]
        more = self.chance.choices(sorts, [sort.weight for sort in sorts], k=versions - len(sorts))
        for sort in sorts:
            self.lines.append(self._line(sort, 1 + more.count(sort)))

    def _line(self, sort: Sort, versions: int) -> Line:
        chance = self.chance
        author = chance.choice(self.people.authors)
        begin = self.now - timedelta(days=chance.uniform(NEWEST_DAYS, OLDEST_DAYS))
        first = max(chance.at_work(begin, begin + timedelta(days=4)), author.user.created_at + timedelta(hours=1))
        times = [
            first,
            *sorted(
                chance.at_work(first + timedelta(hours=3), self.now - timedelta(hours=2)) for _ in range(versions - 1)
            ),
        ]
        template = Template(
            id=chance.id(),
            organization_id=self.organization_id,
            name=sort.name,
            display_name=sort.title,
            description=sort.description,
            icon=f"/icon/{sort.icon}.svg",
            provisioner=Provisioner.TERRAFORM,
            default_ttl_ms=sort.ttl_hours * HOUR_MS,
            allow_user_cancel_workspace_jobs=sort.family != "cloud",
            created_by=author.user,
        )
        line = Line(sort, template, author)
        for revision, moment in enumerate(times):
            self._version(line, revision, moment)
        template.active_version = line.active[-1]
        template.created_at = line.promoted[0]
        template.updated_at = line.promoted[-1]
        self._grant(line)
        return line

    def _version(self, line: Line, revision: int, moment: datetime) -> None:
        """Add a version. The first one succeeds: the template is made of it."""
        chance, is_first = self.chance, revision == 0
        author = line.author if is_first or chance.happens(0.7) else chance.choice(self.people.authors)
        file = self._file(line.sort, revision, author, moment)
        fails, canceled = chance.happens(IMPORTS_FAIL), chance.happens(IMPORTS_CANCELED)
        error = chance.choice(words.IMPORT_ERRORS) if fails and not is_first else ""
        run = self.jobs.run(moment, chance.seconds(6), error, canceled=canceled and not is_first)
        version_id = chance.id()
        job = self.jobs.add(
            run,
            JobType.IMPORT,
            author.user.pk,
            {"template_id": None if is_first else str(line.template.pk), "workspace_name": ""},
            IMPORT_STAGES,
            file_id=file.pk,
        )
        version = TemplateVersion(
            id=version_id,
            template=line.template,
            organization_id=self.organization_id,
            name=f"v{1 + revision // 10}.{revision % 10}",
            message="The first version" if is_first else chance.choice(words.MESSAGES),
            readme=readme(line.sort, revision),
            job=job,
            created_by=author.user,
        )
        version.created_at, version.updated_at = moment, run.ended
        line.versions.append(version)
        if run.succeeded:
            self._results(line, version, run.ended)
            if is_first or not chance.happens(NOT_PROMOTED):
                line.active.append(version)
                line.promoted.append(run.ended + chance.seconds(90, 1.0))

    def _file(self, sort: Sort, revision: int, author: Person, moment: datetime) -> File:
        data = archive(sort, revision)
        file = File(
            id=self.chance.id(),
            hash=hashlib.sha256(data).hexdigest(),
            created_by=author.user,
            size=len(data),
            data=data,
        )
        file.created_at = moment - timedelta(seconds=1)
        self.files.append(file)
        return file

    def _results(self, line: Line, version: TemplateVersion, ended: datetime) -> None:
        """Add what the import found."""
        family = line.family
        schema = ParameterSchema(
            id=self.chance.id(),
            job=version.job,
            index=0,
            name=family.variable,
            description="Where the workspaces run",
            default_source_scheme=SourceScheme.DATA,
            default_source_value="default",
            default_destination_scheme=DestinationScheme.PROVISIONER_VARIABLE,
            validation_type_system="hcl",
            validation_value_type="string",
        )
        schema.created_at = ended
        self.schemas.append(schema)
        for index, option in enumerate(family.parameters):
            row = RichParameter(
                id=self.chance.id(),
                template_version=version,
                index=index,
                name=option.name,
                description=option.description,
                type=option.type,
                mutable=option.mutable,
                default_value=option.default,
                icon=option.icon,
                options=[{"name": text, "description": "", "value": text, "icon": ""} for text, _ in option.options],
                validation_min=option.range[0] if option.range else None,
                validation_max=option.range[1] if option.range else None,
            )
            row.created_at = ended
            self.parameters.append(row)
        both = (Transition.START, Transition.STOP)
        found = [(one, family.volume, "home", 0) for one in both]
        found.append((Transition.START, family.machine, "workspace", family.cost))
        for position, (transition, resource_type, name, cost) in enumerate(found):
            resource = WorkspaceResource(
                id=self.chance.id(),
                job=version.job,
                workspace_transition=transition,
                type=resource_type,
                name=name,
                daily_cost=cost,
                position=position,
            )
            resource.created_at = ended
            self.resources.append(resource)

    def _grant(self, line: Line) -> None:
        """Let everyone or a group use the template, and another author change it."""
        team = next((group for group in self.people.groups if group.name == line.sort.team), None)
        group_id = team.pk if team else self.organization_id
        line.groups = {group_id}
        self.access.append(TemplateAccess(template=line.template, group_id=group_id, role=AccessRole.USE))
        if self.chance.happens(0.4):
            other = self.chance.choice(self.people.persons[6:40])
            self.access.append(TemplateAccess(template=line.template, user=other.user, role=AccessRole.ADMIN))

    def dry_run(self, count: int, days: int) -> None:
        """Add dry runs of the last days, by the authors."""
        for _ in range(count):
            line = self.chance.weighted(self.lines, [line.sort.weight for line in self.lines])
            since = max(line.template.created_at, self.now - timedelta(days=days))
            moment = self.chance.at_work(since, self.now - timedelta(minutes=5))
            version = line.active_at(moment)
            author = self.chance.choice(self.people.authors)
            fails = self.chance.happens(DRY_RUNS_FAIL)
            error = self.chance.choice(words.IMPORT_ERRORS[:2]) if fails else ""
            job_input = {
                "template_version_id": str(version.pk),
                "template_id": str(line.template.pk),
                "import_job_id": str(version.job_id),
                "transition": Transition.START.value,
                "workspace_name": f"dry-{line.sort.name}"[:32],
            }
            run = self.jobs.run(moment, self.chance.seconds(3), error)
            self.jobs.add(run, JobType.DRY_RUN, author.user.pk, job_input, DRY_RUN_STAGES, file_id=version.job.file_id)
