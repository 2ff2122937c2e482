"""Building blocks for tests of jobs: template sources, daemon processes, waiting for jobs."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from coderproj.identity.actor import Actor
from provisioning.engine.base import Transition
from provisioning.models import ProvisionerJob
from templates_app.job_kinds import JobType
from templates_app.models import AccessRole, Template, TemplateAccess, TemplateVersion
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import builds, workspaces
from tests.factories import make_file, make_job, make_organization, make_provisioner_key, make_user

Source = Mapping[str, str | bytes]
# How long tests wait for what must happen. Long, because it happens late on a busy machine; a test that promises a time
# names it.
PATIENCE = 60.0


def tar_of(source: Source) -> bytes:
    """Return a tar of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in source.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def echo(plan: Mapping[str, Any] | None = None, parse: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the source of a template for the echo engine with this script."""
    return {"echo.json": json.dumps({"parse": parse or {}, "plan": plan or {}})}


@transaction.atomic
def queue_import(source: Source | bytes, *, template_id: Any = None, **fields: Any) -> TemplateVersion:
    """Create a version with a pending import. Bytes are used as the archive."""
    organization = make_organization()
    user = make_user(organizations=(organization,))
    file = make_file(user, source if isinstance(source, bytes) else tar_of(source))
    job_input = {"template_id": str(template_id) if template_id else None}
    job = make_job(
        user=user,
        organization=organization,
        job_type=JobType.IMPORT,
        file=file,
        job_input=job_input | fields.pop("job_input", {}),
        **fields,
    )
    return TemplateVersion.objects.create(
        organization=organization, name=f"v-{job.pk.hex[:8]}", job=job, created_by=user
    )


def queue_dry_run(
    version: TemplateVersion,
    values: Mapping[str, str] | None = None,
    rich_values: Mapping[str, str] | None = None,
    **job_input: Any,
) -> ProvisionerJob:
    """Create a pending dry run of an imported version."""
    job_input |= {
        "template_version_id": str(version.pk),
        "import_job_id": str(version.job_id),
        "parameter_values": [{"name": name, "value": value} for name, value in (values or {}).items()],
        "rich_parameter_values": [{"name": n, "value": v} for n, v in (rich_values or {}).items()],
    }
    return make_job(
        user=version.created_by,
        organization=version.organization,
        job_type=JobType.DRY_RUN,
        file=version.job.file,
        provisioner=version.job.provisioner,
        job_input=job_input,
    )


@transaction.atomic
def make_echo_template(
    apply: Mapping[str, Any] | None = None, plan: Mapping[str, Any] | None = None, **fields: Any
) -> Template:
    """Return a template whose builds run these scripts."""
    script = {"plan": plan or {}, "apply": apply or {}}
    version = queue_import({"echo.json": json.dumps(script)})
    ProvisionerJob.objects.filter(pk=version.job_id).update(started_at=Now(), completed_at=Now())
    template = Template.objects.create(
        organization=version.organization,
        name=f"t-{version.pk.hex[:8]}",
        provisioner="echo",
        active_version=version,
        created_by=version.created_by,
        **fields,
    )
    TemplateVersion.objects.filter(pk=version.pk).update(template=template)
    TemplateAccess.objects.create(template=template, group_id=template.organization_id, role=AccessRole.USE)
    return template


@transaction.atomic
def queue_build(subject: Template | Workspace, transition: str = "start") -> WorkspaceBuild:
    """Queue a build: of a workspace, or the first start of a new workspace of a template, by the template's author."""
    if isinstance(subject, Template):
        user = subject.created_by
        new = workspaces.NewWorkspace(f"w-{uuid.uuid4().hex[:8]}", template_id=subject.pk)
        return workspaces.create(Actor.of(user), subject.organization, user, new).latest_build
    return builds.create(Actor.of(subject.owner), subject, builds.NewBuild(Transition(transition)))


# ---------------------------------------------------------------------- waiting
def wait_until(condition: Callable[[], Any], seconds: float = PATIENCE, what: str = "the condition") -> Any:
    """Return the first true result of ``condition``. Fails after this many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"timed out after {seconds} s waiting for {what}"
        time.sleep(0.02)
    return answer


def wait_for_job(job: ProvisionerJob, seconds: float = PATIENCE) -> ProvisionerJob:
    """Wait until the job is completed and return it."""
    row = ProvisionerJob.objects.filter(pk=job.pk, completed_at__isnull=False)
    return wait_until(row.first, seconds, f"the end of job {job.pk}")


def wait_for_log(job: ProvisionerJob, output: str = "", *, stage: str = "", seconds: float = PATIENCE) -> None:
    """Wait for a log line with this output or stage."""
    lines = job.logs.filter(**{name: text for name, text in (("output", output), ("stage", stage)) if text})
    wait_until(lines.exists, seconds, f"a line {output or stage!r}")


def run_import(source: Source | bytes, **fields: Any) -> tuple[ProvisionerJob, TemplateVersion]:
    """Queue an import, wait until it is completed, and return its job and its version as they are stored then."""
    version = queue_import(source, **fields)
    return wait_for_job(version.job), TemplateVersion.objects.get(pk=version.pk)


def log_of(job: ProvisionerJob) -> list[tuple[str, str, str, str]]:
    """Return source, level, stage and output of every line of the job's log, in order."""
    return [(row.source, row.level, row.stage, row.output) for row in job.logs.order_by("id")]


# ---------------------------------------------------------------------- daemons
def database_url(application: str) -> str:
    """Return the URL of the test database for a process with this application name."""
    database = connection.settings_dict
    secret = f":{quote(database['PASSWORD'])}" if database["PASSWORD"] else ""
    options = {key: database[key.upper()] for key in ("host", "port") if database[key.upper()]}
    query = urlencode(options | {"application_name": application})
    return f"postgresql://{quote(database['USER'])}{secret}@/{database['NAME']}?{query}"


class DaemonProcess:
    """A process of ``manage.py provisionerd`` that logs to the file ``log``."""

    def __init__(self, log: Path, *options: str, **environment: object) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command(*options),
                cwd=settings.BASE_DIR,
                env=self.environment() | {name: str(value) for name, value in environment.items()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def command(self, *options: str) -> tuple[str, ...]:
        """The command line."""
        return (sys.executable, "-W", "ignore", "manage.py", "provisionerd", *options)

    def environment(self) -> dict[str, str]:
        """Return the environment of the daemon."""
        return os.environ | {"DATABASE_URL": database_url("provisionerd")}

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until the daemon has logged this text."""
        wait_until(lambda: text in self.log.read_text(), seconds, f"{text!r} in the daemon's log")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = PATIENCE) -> int:
        """Send SIGTERM and return the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def runners(self) -> list[int]:
        """Return the pids of all runners, busy and idle. They are children of the fork server and share its command
        line."""
        family = [pid for pid, command in processes() if f"provisioning.daemon.fork_server {self.pid}" in command]
        return [pid for pid in family if parent_of(pid) in family]


class RemoteDaemonProcess(DaemonProcess):
    """A daemon without database variables, whose data folder does not exist."""

    def environment(self) -> dict[str, str]:
        inherited = {n: value for n, value in os.environ.items() if not n.startswith(("DATABASE", "PG", "CODER"))}
        return inherited | {"CODERPROJ_DATA_DIR": f"{self.log}.no-such-folder"}


@contextmanager
def run_daemon(log: Path, *options: str, **environment: object) -> Iterator[DaemonProcess]:
    """Run a daemon that claims jobs; kill it after the block if it still runs."""
    with running(DaemonProcess(log, *options, **environment)) as daemon:
        yield daemon


@contextmanager
def run_remote_daemon(
    log: Path, url: str, *options: str, key: str = "", **environment: object
) -> Iterator[DaemonProcess]:
    """Run a daemon with a provisioner key instead of the database. Without ``key``, create one for all organizations.
    Tags belong to the key, so ``--tag`` options are applied to it."""
    other_options, tags = [], {}
    for option in (rest := iter(options)):
        if option == "--tag":
            name, _, value = next(rest).partition("=")
            tags[name] = value
        else:
            other_options.append(option)
    secret = key or make_provisioner_key(tags=tags)
    options = ("--url", url, *other_options)
    with running(RemoteDaemonProcess(log, *options, PROVISIONER_DAEMON_KEY=secret, **environment)) as daemon:
        yield daemon


@contextmanager
def running(daemon: DaemonProcess) -> Iterator[DaemonProcess]:
    """Wait until the daemon claims jobs, yield it, and kill it after the block if it still runs."""
    try:
        daemon.wait_for("runs up to")
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.signal(signal.SIGCONT)
            daemon.signal(signal.SIGKILL)
        daemon.process.wait()


def parent_of(pid: int) -> int:
    """Return the pid of the parent process, or 0 if the process does not exist."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def processes() -> list[tuple[int, str]]:
    """Return pid and command line of every running process."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if command:
                found.append((int(folder.name), command))
    return found
