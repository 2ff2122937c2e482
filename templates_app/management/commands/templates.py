"""``manage.py templates``: push, pull, list, edit, versions, archive, promote, rollback."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.management.base import CommandError
from django.db.models import QuerySet
from rest_framework import serializers

from coderproj.accounts.serializers.users import user_context
from coderproj.api.serializers import BodySerializer, StrictTextField
from coderproj.base.errors import Invalid, NotFound
from coderproj.commands import JOB_FAILED, REJECTED, assignment, format_time, validated
from coderproj.identity.actor import Actor
from coderproj.identity.models import Organization
from coderproj.identity.organizations import DEFAULT
from provisioning.engine.base import EngineError
from provisioning.engine.hcl import read_values
from provisioning.files import archive, stored
from provisioning.management.job_command import JobCommand
from provisioning.models import File, JobStatus
from provisioning.parameters import GivenValue
from provisioning.serializers.jobs import LiteralValueBody
from templates_app.models import Template, TemplateVersion
from templates_app.names import check_template_name, check_version_name
from templates_app.serializers.bodies import UpdateTemplateBody
from templates_app.serializers.templates import TemplateSerializer, TemplateVersionSerializer
from templates_app.services import archiving, templates, versions
from templates_app.services.access import find_organization


class PushArguments(BodySerializer):
    """The arguments of ``push``, validated by the rules of the API."""

    name = StrictTextField(validators=[check_template_name])
    version_name = StrictTextField(required=False, allow_blank=True)
    message = StrictTextField(required=False, allow_blank=True, max_length=1024)
    parameters = LiteralValueBody(many=True)

    def validate_version_name(self, value: str) -> str:
        if value:
            check_version_name(value)
        return value


class ValuesLoader(yaml.SafeLoader):
    """Loads dates as text, because Terraform has no date type."""


def _construct_text(loader: ValuesLoader, node: Any) -> Any:
    return loader.construct_scalar(node)


ValuesLoader.add_constructor("tag:yaml.org,2002:timestamp", _construct_text)


class Command(JobCommand):
    help = "Push, pull, list, change, promote and roll back templates."

    def add_actions(self, actions: Any) -> None:
        push = actions.add_parser("push", help="import a folder or archive as a new version")
        push.add_argument("source", type=Path, help="folder of Terraform files, or a tar or zip archive")
        push.add_argument(
            "--name", help="name of the template (default: the source's name); created if it does not exist"
        )
        push.add_argument("--version-name", default="", help="name of the version (default: a random name)")
        push.add_argument("--message", default="", help="description of the changes")
        push.add_argument(
            "--parameters", type=Path, metavar="FILE", help="YAML or JSON mapping with values of variables"
        )
        push.add_argument(
            "--var",
            dest="values",
            action="append",
            type=assignment,
            metavar="NAME=VALUE",
            help="value of a variable; --var and --var-file can be repeated, the last value of a variable counts",
        )
        push.add_argument(
            "--var-file",
            dest="values",
            action="append",
            type=Path,
            metavar="FILE",
            help="Terraform variable file (.tfvars or .json) with values of variables",
        )
        push.add_argument("--activate", action="store_true", help="make the version active when its import succeeds")
        push.add_argument("--force", action="store_true", help="push even if nothing has changed")

        pull = actions.add_parser("pull", help="download the files of a version")
        pull.add_argument("name", help="name of the template")
        pull.add_argument("target", type=Path, help="new folder, or new file ending in .tar")
        pull.add_argument("--version", help="name of the version (default: the active version)")

        actions.add_parser("list", help="list the templates")
        listed = actions.add_parser("versions", help="list the versions of a template, oldest first")
        listed.add_argument("name", help="name of the template")
        promote = actions.add_parser("promote", help="make a version the active version")
        promote.add_argument("name", help="name of the template")
        promote.add_argument("version", help="name of the version")
        rollback = actions.add_parser("rollback", help="make the last usable version before the active one active")
        rollback.add_argument("name", help="name of the template")
        edit = actions.add_parser("edit", help="change a template's names, texts and rules for workspaces")
        edit.add_argument("name", help="name of the template")
        edit.add_argument(
            "--set",
            dest="changes",
            action="append",
            required=True,
            type=assignment,
            metavar="FIELD=VALUE",
            help=f"can be repeated; the fields of the API ({', '.join(UpdateTemplateBody().fields)}), texts as they "
            "are, other values as JSON",
        )
        archived = actions.add_parser("archive", help="archive versions whose import failed")
        archived.add_argument("name", help="name of the template")
        archived.add_argument(
            "--all",
            dest="unused",
            action="store_true",
            help="all unused versions but the active one",
        )
        for parser in (push, pull, listed, promote, rollback, edit, archived, actions.choices["list"]):
            parser.add_argument(
                "--organization",
                default=DEFAULT,
                help="id or name of the organization (default: the default organization)",
            )

    # ---------------------------------------------------------------- push
    def act_push(self, actor: Actor, options: dict[str, Any]) -> Any:
        organization = find_organization(actor, options["organization"])
        source: Path = options["source"]
        name = options["name"] or source.resolve().name.partition(".")[0]
        given = given_values(options["parameters"], options["values"] or ())
        values = [{"name": value.name, "source_value": value.source_value} for value in given]
        names = {"name": name, "version_name": options["version_name"], "message": options["message"]}
        validated(PushArguments, {**names, "parameters": values})
        template = named_templates(actor, organization, name).first()
        file, left_out = store_source(actor, source)
        if left_out:
            self.write(f"Left out: {', '.join(left_out)}")
        is_new = options["force"] or options["parameters"] is not None or bool(options["values"])
        if template is not None and not is_new and (same := version_with(file, template)):
            return self._unchanged(actor, template, same, activate=options["activate"])
        version = versions.create(
            actor,
            organization,
            versions.NewVersion(
                source=versions.Source(file_id=file.pk),
                name=options["version_name"],
                message=options["message"],
                template_id=template.pk if template else None,
                values=given,
            ),
        )
        self.watch(version.job, "The import")
        version.refresh_from_db()
        if version.job.status != JobStatus.SUCCEEDED:
            raise CommandError(f"The import {version.job.status}: {version.job.error}", returncode=JOB_FAILED)
        if template is None:
            template = templates.create(actor, organization, version_id=version.pk, fields={"name": name})
            self.write(f"Created template {name} with active version {version.name}.")
        elif options["activate"]:
            templates.promote(actor, template, version.pk)
            self.write(f"Version {version.name} of {name} is now active.")
        else:
            self.write(f"Imported version {version.name} of {name}; {template.active_version.name} stays active.")
        version.refresh_from_db()
        return {**self._version_answer(actor, version), "unchanged": False}

    def _unchanged(self, actor: Actor, template: Template, version: TemplateVersion, *, activate: bool) -> Any:
        """Report that a version has these files already; promote it if requested."""
        if version.pk == template.active_version_id:
            self.write(f"Nothing has changed: {template.name}'s active version {version.name} has these files.")
        elif activate:
            templates.promote(actor, template, version.pk)
            self.write(f"Nothing has changed: {version.name} of {template.name} has these files; it is now active.")
        else:
            active = template.active_version.name
            has_files = f"{version.name} of {template.name} has these files"
            self.write(f"Nothing has changed: {has_files}; {active} stays active.")
        return {**self._version_answer(actor, version), "unchanged": True}

    # ---------------------------------------------------------------- pull
    def act_pull(self, actor: Actor, options: dict[str, Any]) -> Any:
        template = self._template(actor, options)
        version = template.active_version
        if options["version"]:
            version = named_version(template, options["version"])
        if version.job.file_id is None:
            raise NotFound(f"Version {version.name} has no source.")
        file = stored.find(actor, version.job.file_id)
        target: Path = options["target"]
        data = stored.content(file.pk)
        if target.exists():
            raise CommandError(f"{target} exists already.", returncode=REJECTED)
        try:
            if target.suffix == ".tar":
                target.write_bytes(data)
            else:
                target.mkdir(parents=True)
                archive.unpack(io.BytesIO(data), target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.", returncode=REJECTED) from None
        self.write(f"Wrote version {version.name} of {template.name} to {target}.")
        return {"version": version.name, "target": str(target)}

    # ---------------------------------------------------------------- list, versions, promote, rollback
    def act_list(self, actor: Actor, options: dict[str, Any]) -> Any:
        organization = find_organization(actor, options["organization"])
        rows = Template.objects.visible(actor).filter(organization=organization).most_used_first()
        listed = list(rows.select_related("active_version"))
        self.table(
            ("Template", "Display name", "Active version", "Updated"),
            [(row.name, row.display_name, row.active_version.name, format_time(row.updated_at)) for row in listed],
            "There are no templates yet. Create one with: manage.py templates push FOLDER",
        )
        return TemplateSerializer(listed, many=True).data

    def act_versions(self, actor: Actor, options: dict[str, Any]) -> Any:
        template = self._template(actor, options)
        rows = list(template.versions.select_related("job", "created_by").order_by("created_at", "id"))
        self.table(
            ("Version", "Created", "By", "Import", "Message", "Active"),
            [
                (
                    row.name,
                    format_time(row.created_at),
                    row.created_by.username,
                    row.job.status,
                    row.message,
                    "active" if row.pk == template.active_version_id else "",
                )
                for row in rows
            ],
            "There are no versions.",
        )
        return TemplateVersionSerializer(rows, many=True, context=user_context(actor)).data

    # ---------------------------------------------------------------- edit, archive
    def act_edit(self, actor: Actor, options: dict[str, Any]) -> Any:
        template = self._template(actor, options)
        fields = UpdateTemplateBody().fields
        given: dict[str, Any] = {}
        for name, text in options["changes"]:
            if name not in fields:
                raise Invalid.field(name, "There is no such field.")
            given[name] = text if isinstance(fields[name], serializers.CharField) else as_json(name, text)
        changes = validated(UpdateTemplateBody, given)
        everyone = changes.pop("disable_everyone_group_access", False)
        changed = templates.update(actor, template, changes, revoke_everyone=everyone)
        self.write(f"Changed template {changed.name}.")
        found = Template.objects.with_statistics().select_related("created_by", "organization").get(pk=changed.pk)
        return TemplateSerializer(found).data

    def act_archive(self, actor: Actor, options: dict[str, Any]) -> Any:
        template = self._template(actor, options)
        ids = archiving.archive_versions(actor, template, unused=options["unused"])
        self.write(f"Archived {len(ids)} of the versions of {template.name}.")
        return {"template_id": template.pk, "archived_ids": ids}

    def act_promote(self, actor: Actor, options: dict[str, Any]) -> Any:
        template = self._template(actor, options)
        version = named_version(template, options["version"])
        templates.promote(actor, template, version.pk)
        self.write(f"Version {version.name} of {template.name} is now active.")
        return self._version_answer(actor, version)

    def act_rollback(self, actor: Actor, options: dict[str, Any]) -> Any:
        template = self._template(actor, options)
        earlier = template.versions.usable().filter(created_at__lt=template.active_version.created_at)
        version = earlier.order_by("-created_at", "-id").first()
        if version is None:
            raise NotFound(f"{template.name} has no usable version before {template.active_version.name}.")
        before = template.active_version
        templates.promote(actor, template, version.pk)
        self.write(f"Rolled {template.name} back from {before.name} to {version.name}.")
        return self._version_answer(actor, version)

    def _template(self, actor: Actor, options: dict[str, Any]) -> Template:
        organization = find_organization(actor, options["organization"])
        template = named_templates(actor, organization, options["name"]).first()
        if template is None:
            raise NotFound(f"There is no template {options['name']!r} in {organization.name}.")
        return template

    def _version_answer(self, actor: Actor, version: TemplateVersion) -> Any:
        return TemplateVersionSerializer(version, context=user_context(actor)).data


def named_templates(actor: Actor, organization: Organization, name: str) -> QuerySet[Template]:
    """Return the visible template with this name, with its active version."""
    rows = Template.objects.visible(actor).filter(organization=organization, name__iexact=name)
    return rows.select_related("active_version__job__file")


def named_version(template: Template, name: str) -> TemplateVersion:
    """Return the template's version with this name. Raises NotFound."""
    version = template.versions.select_related("job__file").filter(name=name).first()
    if version is None:
        raise NotFound(f"{template.name} has no version {name!r}.")
    return version


def version_with(file: File, template: Template) -> TemplateVersion | None:
    """Return the active or else the newest usable version, if imported from the same bytes, pushed by any user."""
    newest = template.versions.usable().select_related("job__file", "created_by").order_by("-created_at", "-id").first()
    for version in (template.active_version, newest):
        if version is not None and version.job.file is not None and version.job.file.hash == file.hash:
            return version
    return None


def store_source(actor: Actor, source: Path) -> tuple[File, tuple[str, ...]]:
    """Check and store a folder or an archive; also return the names left out. Raises Invalid, naming the problem."""
    if source.is_dir():
        content = archive.pack(source)
    elif source.is_file():
        content = source.read_bytes()
    else:
        raise Invalid.field("source", f"{source} is not a folder or a file.")
    sink = io.BytesIO()
    checked = archive.check(io.BytesIO(content), limit_bytes=settings.UPLOAD_MAX_BYTES, sink=sink)
    return stored.store(actor, sink.getvalue()).file, checked.dropped


def given_values(parameters: Path | None, values: Iterable[Path | tuple[str, str]] = ()) -> tuple[GivenValue, ...]:
    """Return the values of variables from a YAML or JSON mapping, and over them the ``values``: variable files, and
    names with their values. Later ones override earlier ones. Raises Invalid.
    """
    found = _mapped_values(parameters)
    for value in values:
        if isinstance(value, Path):
            found |= _file_values(value)
        else:
            found[value[0]] = value[1]
    return tuple(GivenValue(name=name, source_value=value) for name, value in found.items())


def _file_values(path: Path) -> dict[str, str]:
    """Read a Terraform variable file. Raises Invalid, naming the line."""
    try:
        values = read_values(path.read_bytes(), path.name)
    except (OSError, ValueError, EngineError) as error:
        raise Invalid.field("var_file", f"{path} cannot be read: {error}") from None
    empty = next((name for name, value in values.items() if value is None), None)
    if empty is not None:
        raise Invalid.field("var_file", f"{path}: the value of {empty!r} is null. Leave it out to use the default.")
    return {name: as_text(name, value) for name, value in values.items()}


def _mapped_values(path: Path | None) -> dict[str, str]:
    """Read a YAML or JSON mapping. Raises Invalid."""
    if path is None:
        return {}
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), ValuesLoader)  # noqa: S506 - a SafeLoader
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Invalid.field("parameters", f"{path} cannot be read: {error}") from None
    if not isinstance(content, Mapping):
        raise Invalid.field("parameters", f"{path} must contain a mapping of names to values.")
    return {str(name): as_text(str(name), value) for name, value in content.items()}


def as_json(name: str, text: str) -> Any:
    """Return the value of ``--set`` for a field: JSON, or the text itself. Raises Invalid for null, which no field can
    have."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if value is None:
        raise Invalid.field(name, "A field cannot be null. Leave it out to keep its value.")
    return value


def as_text(name: str, value: Any) -> str:
    """Return a value in the notation of Terraform's variables: strings unchanged, other values as JSON. Raises Invalid,
    naming the variable."""
    try:
        return value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Invalid.field("parameters", f"the value of {name!r} cannot be written as JSON: {error}") from None
