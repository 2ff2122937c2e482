"""``manage.py workspaces``: create, list, show, start, stop, update, delete, schedule, state, rotate-keys."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from coderproj.api.serializers import BodySerializer, StrictTextField
from coderproj.base.errors import Invalid, NotFound
from coderproj.commands import JOB_FAILED, REJECTED, assignment, format_time, seconds_of, validated
from coderproj.database.clock import database_time
from coderproj.identity.actor import Actor
from coderproj.identity.organizations import DEFAULT
from coderproj.identity.users import ME, find_user
from provisioning.engine.base import MAX_STATE, Transition
from provisioning.management.job_command import JobCommand
from provisioning.models import JobStatus
from provisioning.parameters import GivenValue
from templates_app.management.commands.templates import named_templates, named_version
from templates_app.names import check_name
from templates_app.services.access import find_organization
from templates_app.workspaces import filters, states
from templates_app.workspaces.answers import workspace_for_answer, workspaces_for_answers
from templates_app.workspaces.models import BuildState, Workspace, WorkspaceBuild
from templates_app.workspaces.serializers.answers import WorkspaceSerializer
from templates_app.workspaces.services import access, builds, quota, workspaces
from templates_app.workspaces.services.values import NamedValue

ROWS_AT_ONCE = 100
COLUMNS = ("Workspace", "Template", "Version", "Status", "Last build", "Stops at")
# Seconds; the service has a smaller limit, which depends on the user.
MAX_EXTENSION = 366 * 24 * 3600


class NewWorkspaceArguments(BodySerializer):
    """The arguments of ``create``, validated by the rules of the API."""

    name = StrictTextField(validators=[check_name])


class Command(JobCommand):
    help = "Create, list, start, stop, update and delete workspaces, and read and write their states."

    def add_actions(self, actions: Any) -> None:
        create = actions.add_parser("create", help="create a workspace and start it")
        create.add_argument("name", help="name of the workspace")
        create.add_argument("--template", required=True, metavar="NAME", help="name of the template")
        create.add_argument("--owner", default=ME, metavar="USER", help="owner (default: the acting user)")
        create.add_argument(
            "--schedule", default="", help="automatic starts, such as CRON_TZ=Europe/Berlin 30 9 * * 1-5"
        )
        create.add_argument("--preset", default="", metavar="NAME", help="a preset of the version")
        create.add_argument("--ttl", help="time until the automatic stop, such as 8h (default: the template's)")
        create.add_argument(
            "--organization",
            default=DEFAULT,
            help="id or name of the organization (default: the default organization)",
        )

        listed = actions.add_parser("list", help="list workspaces, the last used first")
        listed.add_argument("--search", default="", metavar="TEXT", help="such as owner:me status:running")

        show = actions.add_parser("show", help="show a workspace: its resources, parameters and builds")
        start = actions.add_parser("start", help="start a workspace with the version of its last build")
        stop = actions.add_parser("stop", help="stop a workspace")
        update = actions.add_parser("update", help="start a workspace with the template's active version")
        delete = actions.add_parser("delete", help="destroy what a workspace made, and delete it")
        delete.add_argument("--orphan", action="store_true", help="delete the workspace, but leave what it made")
        schedule = actions.add_parser("schedule", help="show or change when a workspace starts and stops by itself")
        schedule.add_argument("--start", metavar="CRON", help="times of automatic starts; empty for none")
        schedule.add_argument("--ttl", help="time from a start to the automatic stop, such as 8h; 0 for none")
        schedule.add_argument("--extend", metavar="TIME", help="stop the running workspace this time from now")
        state = actions.add_parser("state", help="print the Terraform state of a workspace, or replace it")
        target = state.add_mutually_exclusive_group()
        target.add_argument("--output", type=Path, metavar="FILE", help="write the state to a new file")
        target.add_argument("--push", type=Path, metavar="FILE", help="build the workspace again with this state")
        for parser in (show, start, stop, update, delete, schedule, state):
            parser.add_argument("workspace", metavar="[OWNER/]NAME", help="default owner: the acting user")
        for parser in (create, update):
            parser.add_argument("--version", metavar="NAME", help="name of the version (default: the active version)")
        for parser in (create, start, update):
            parser.add_argument(
                "--parameter",
                dest="parameters",
                action="append",
                type=assignment,
                default=[],
                metavar="NAME=VALUE",
                help="value of a parameter; can be repeated",
            )
            parser.add_argument(
                "--var",
                dest="variables",
                action="append",
                type=assignment,
                default=[],
                metavar="NAME=VALUE",
                help="value of a variable; can be repeated",
            )
        for parser in (create, start, stop, update, delete, state):
            parser.add_argument("--no-wait", action="store_true", help="do not wait for the end of the build")
        actions.add_parser("rotate-keys", help="encrypt all states with the first secret in CODERPROJ_STATE_KEYS")

    # ---------------------------------------------------------------- builds
    def act_create(self, actor: Actor, options: dict[str, Any]) -> Any:
        organization = find_organization(actor, options["organization"])
        template = named_templates(actor, organization, options["template"]).first()
        if template is None:
            raise NotFound(f"There is no template {options['template']!r} in {organization.name}.")
        name = validated(NewWorkspaceArguments, {"name": options["name"]})["name"]
        version = named_version(template, options["version"]) if options["version"] else template.active_version
        preset = version.presets.filter(name=options["preset"]).first() if options["preset"] else None
        if options["preset"] and preset is None:
            raise NotFound(f"Version {version.name} has no preset {options['preset']!r}.")
        workspace = workspaces.create(
            actor,
            organization,
            find_user(actor, options["owner"]),
            workspaces.NewWorkspace(
                name,
                template_id=template.pk,
                version_id=version.pk if options["version"] else None,
                preset_id=preset.pk if preset else None,
                autostart_schedule=options["schedule"],
                ttl_ms=seconds_of(options["ttl"], "ttl") * 1000 if options["ttl"] else None,
                rich_values=_rich_values(options),
                variables=_variables(options),
            ),
        )
        return self._await(actor, _latest(workspace), options)

    def act_start(self, actor: Actor, options: dict[str, Any]) -> Any:
        return self._build(actor, options, Transition.START)

    def act_stop(self, actor: Actor, options: dict[str, Any]) -> Any:
        return self._build(actor, options, Transition.STOP)

    def act_update(self, actor: Actor, options: dict[str, Any]) -> Any:
        template = self._workspace(actor, options).template
        version = named_version(template, options["version"]) if options["version"] else template.active_version
        return self._build(actor, options, Transition.START, version_id=version.pk)

    def act_delete(self, actor: Actor, options: dict[str, Any]) -> Any:
        return self._build(actor, options, Transition.DELETE, orphan=options["orphan"])

    def _build(self, actor: Actor, options: dict[str, Any], transition: Transition, **fields: Any) -> Any:
        workspace = self._workspace(actor, options)
        if transition is Transition.START:
            fields |= {"rich_values": _rich_values(options), "variables": _variables(options)}
        return self._await(actor, builds.create(actor, workspace, builds.NewBuild(transition, **fields)), options)

    def _await(self, actor: Actor, build: WorkspaceBuild, options: dict[str, Any]) -> Any:
        """Wait for the end of a build, unless the options say not to, and report it."""
        name = f"{build.workspace.owner.username}/{build.workspace.name}"
        if options["no_wait"]:
            self.write(f"Queued build {build.build_number} of {name}: {build.transition}.")
        else:
            self.watch(build.job, "The build")
            if build.job.status != JobStatus.SUCCEEDED:
                reason = f": {build.job.error}" if build.job.error else "."
                raise CommandError(f"The build {build.job.status}{reason}", returncode=JOB_FAILED)
            self.write(f"Build {build.build_number} of {name} succeeded: {build.status}.")
        return self._answer(actor, build.workspace)

    # ---------------------------------------------------------------- list and show
    def act_list(self, actor: Actor, options: dict[str, Any]) -> Any:
        rows = filters.search_workspaces(actor, {"q": options["search"]})
        listed = list(workspaces_for_answers(rows).select_related("template__active_version"))
        self.table(
            COLUMNS,
            [_row(workspace) for workspace in listed],
            "There are no workspaces. Create one with: manage.py workspaces create NAME --template TEMPLATE",
        )
        return WorkspaceSerializer(listed, many=True).data

    def act_show(self, actor: Actor, options: dict[str, Any]) -> Any:
        workspace = self._workspace(actor, options)
        build = _latest(workspace)
        self.table(
            COLUMNS,
            [_row(workspace)],
            "",
        )
        resources = build.job.resources.order_by("position", "id").prefetch_related("agents")
        self.table(
            ("Resource", "Agents", "Daily cost"),
            [
                (f"{one.type}.{one.name}", ", ".join(agent.name for agent in one.agents.all()), one.daily_cost or "")
                for one in resources
            ],
            "It has no resources.",
        )
        self._write_quota(actor, workspace)
        values = build.parameters.order_by("pk").values_list("name", "value")
        self.table(("Parameter", "Value"), list(values), "Its parameters have their defaults.")
        rows = workspace.builds.newest_first().select_related("job", "template_version", "initiator")[:10]
        self.table(
            ("Build", "Transition", "Version", "Status", "By", "Reason", "Created"),
            [
                (
                    row.build_number,
                    row.transition,
                    row.template_version.name,
                    row.status,
                    row.initiator.username,
                    row.job.error or row.reason,
                    format_time(row.created_at),
                )
                for row in rows
            ],
            "It has no builds.",
        )
        return self._answer(actor, workspace)

    def _write_quota(self, actor: Actor, workspace: Workspace) -> None:
        """Write what the workspace costs, and the quota of its owner if the actor may see it and there is a budget."""
        self.write(f"It costs {workspace.daily_cost} credits a day.")
        if quota.may_read(actor, workspace.owner_id, workspace.organization_id):
            found = quota.quota_of(workspace.owner_id, workspace.organization_id)
            if found.budget is not None:
                name = workspace.owner.username
                self.write(f"The workspaces of {name} cost {found.consumed} of {found.budget} credits a day.")

    # ---------------------------------------------------------------- schedule
    def act_schedule(self, actor: Actor, options: dict[str, Any]) -> Any:
        workspace = self._workspace(actor, options)
        if options["start"] is not None:
            workspaces.set_schedule(actor, workspace, options["start"])
        if options["ttl"] is not None:
            workspaces.set_ttl(actor, workspace, seconds_of(options["ttl"], "ttl") * 1000)
        if options["extend"] is not None:
            seconds = min(seconds_of(options["extend"], "extend"), MAX_EXTENSION)
            workspaces.extend(actor, workspace, database_time() + timedelta(seconds=seconds))
        workspace = self._workspace(actor, options)
        ttl = timedelta(milliseconds=workspace.lifetime_ms) if workspace.lifetime_ms else "never"
        self.write(f"Starts by itself: {workspace.autostart_schedule or 'never'}")
        self.write(f"Stops after: {ttl}")
        self.write(f"Stops at: {format_time(_latest(workspace).deadline) or 'no time'}")
        return self._answer(actor, workspace)

    # ---------------------------------------------------------------- states
    def act_state(self, actor: Actor, options: dict[str, Any]) -> Any:
        workspace = self._workspace(actor, options)
        build = _latest(workspace)
        if options["push"] is not None:
            try:
                with options["push"].open("rb") as file:
                    state = file.read(MAX_STATE + 1)
            except OSError as error:
                raise Invalid.field("push", f"{options['push']} cannot be read: {error.strerror}") from None
            if len(state) > MAX_STATE:
                raise Invalid.field("push", f"{options['push']} is larger than {MAX_STATE:,} bytes.")
            new = builds.NewBuild(Transition(build.transition), state=state)
            return self._await(actor, builds.create(actor, workspace, new), options)
        access.authorize_state(actor, workspace)
        state = states.state_of(build)
        if options["output"] is None:
            self.stdout.write(state.decode(errors="replace"))
            return None
        try:
            with options["output"].open("xb") as file:
                options["output"].chmod(0o600)
                file.write(state)
        except OSError as error:
            raise CommandError(
                f"{options['output']} cannot be written: {error.strerror}.", returncode=REJECTED
            ) from None
        self.write(f"Wrote the state of build {build.build_number}, {len(state):,} bytes, to {options['output']}.")
        return {"build_number": build.build_number, "bytes": len(state)}

    def act_rotate_keys(self, actor: Actor, options: dict[str, Any]) -> Any:
        """Encrypt again row by row: a state that a build stores meanwhile is not overwritten."""
        count = 0
        for row in BuildState.objects.iterator(ROWS_AT_ONCE):
            old = bytes(row.encrypted)
            count += BuildState.objects.filter(pk=row.pk, encrypted=old).update(encrypted=states.rotate(old))
        self.write(f"Encrypted {count} states with the first secret.")
        return {"states": count}

    # ---------------------------------------------------------------- lookups
    def _workspace(self, actor: Actor, options: dict[str, Any]) -> Workspace:
        """Return the existing workspace that the arguments name. Raises NotFound."""
        owner, slash, name = options["workspace"].rpartition("/")
        user = find_user(actor, owner if slash else ME)
        rows = Workspace.objects.visible(actor).existing().filter(owner=user, name__iexact=name)
        workspace = rows.select_related("owner", "template__active_version", "latest_build").first()
        if workspace is None:
            raise NotFound(f"{user.username} has no workspace {name!r}.")
        return workspace

    def _answer(self, actor: Actor, workspace: Workspace) -> Any:
        return WorkspaceSerializer(workspace_for_answer(workspace)).data


def _latest(workspace: Workspace) -> WorkspaceBuild:
    """Return the latest build; every workspace has one."""
    rows = WorkspaceBuild.objects.select_related("job", "workspace__owner", "template_version")
    return rows.get(latest_of=workspace)


def _row(workspace: Workspace) -> tuple[object, ...]:
    build = workspace.latest_build
    assert build is not None
    outdated = " (outdated)" if build.template_version_id != workspace.template.active_version_id else ""
    return (
        f"{workspace.owner.username}/{workspace.name}",
        workspace.template.name,
        build.template_version.name + outdated,
        build.status,
        format_time(build.created_at),
        format_time(build.deadline),
    )


def _rich_values(options: dict[str, Any]) -> list[NamedValue]:
    return [NamedValue(name, value) for name, value in options["parameters"]]


def _variables(options: dict[str, Any]) -> list[GivenValue]:
    return [GivenValue(name=name, source_value=value) for name, value in options["variables"]]
