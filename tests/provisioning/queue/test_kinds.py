"""The table of job kinds, and a kind of a test app, ``toy``, from enqueue to its page."""

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.urls import reverse

import provisioning
from coderproj.base.contributions import contribution_paths
from coderproj.base.errors import Forbidden
from coderproj.identity.actor import Actor
from provisioning.daemon import settings
from provisioning.daemon.remote import RemoteClient
from provisioning.models import File, JobStatus, ProvisionerJob
from provisioning.protocol.kinds import JobKind, JobKinds, Shape, load
from provisioning.queue import administration, jobs
from provisioning.queue.figures import job_figures
from provisioning.queue.kinds import function, kind_of, kinds
from tests.api import ApiClient
from tests.factories import claim, make_file, make_job, make_provisioner_key, make_user
from tests.pages import browser, text_of
from tests.provisioning.daemon.remote_clients import FACTS
from tests.provisioning.queue.toy import job_kinds
from tests.provisioning.queue.toy.apps import ToyConfig
from tests.provisioning.queue.toy.job_kinds import STAGE, TOY, ToyInput, ToyState
from tests.vocabulary import DaemonProcess, RemoteDaemonProcess, echo, running, tar_of, wait_for_job

pytestmark = pytest.mark.django_db(transaction=True)

SOURCE = echo({"start": {"resources": [{"name": "a", "type": "b"}]}, "logs": [["info", STAGE, "the engine plans"]]})
STATE = b"\x00\xffstate"


@pytest.fixture(autouse=True)
def _toys(contribute):
    contribute("job_kinds", ToyConfig.contributions["job_kinds"])


class RemoteToyDaemon(RemoteDaemonProcess):
    """A daemon without Django, whose settings name the test app's kinds."""

    def command(self, *options):
        program = (
            "import sys; from provisioning.daemon import command_line, settings\n"
            f"settings.JOB_KINDS += ({ToyConfig.contributions['job_kinds']!r},)\n"
            "sys.exit(command_line.main())"
        )
        return (sys.executable, "-W", "ignore", "-c", program, *options)


@contextmanager
def daemon_of(way, log, request):
    if way == "direct":
        process = DaemonProcess(log, DJANGO_SETTINGS_MODULE="tests.provisioning.queue.toy.settings")
    else:
        url = request.getfixturevalue("live_api").url
        process = RemoteToyDaemon(log, "--url", url, PROVISIONER_DAEMON_KEY=make_provisioner_key())
    with running(process) as daemon:
        yield daemon


def make_toy(owner, organization, **job_input):
    file = make_file(owner, tar_of(SOURCE))
    job_input = {"state": STATE.hex(), **job_input}
    return make_job(user=owner, organization=organization, job_type=TOY.type, file=file, job_input=job_input)


@pytest.mark.parametrize("way", ["direct", "remote"])
def test_jobs_of_a_new_kind_run(way, tmp_path, request, owner, organization):
    good, bad = make_toy(owner, organization), make_toy(owner, organization, times=2)
    wrong = make_toy(owner, organization, state="")
    with daemon_of(way, tmp_path / "log", request):
        good, bad, wrong = wait_for_job(good), wait_for_job(bad), wait_for_job(wrong)
    assert (good.status, good.error) == (JobStatus.SUCCEEDED, "")
    # The state of the first is stored; the transaction that stored that of the second was rolled back.
    assert bad.status == JobStatus.FAILED
    assert bad.error.startswith("the job's results cannot be stored")
    assert wrong.status == JobStatus.FAILED
    assert wrong.error == "the job's results cannot be stored: Object missing required field `state`"
    (stored,) = File.objects.exclude(pk=good.file_id)
    assert (bytes(stored.data), stored.size) == (STATE[::-1], 1)
    lines = list(good.logs.order_by("id").values_list("stage", "output"))
    assert lines == [
        ("Setting up", ""),
        (STAGE, ""),
        (STAGE, "7 bytes, the secrets are ['********']"),
        (STAGE, "the engine plans"),
        ("Cleaning Up", ""),
    ]

    listed = ApiClient(owner).get("organizations/acme/provisionerjobs", QUERY_STRING=f"type={TOY.type}")
    assert {(row["id"], row["type"], row["status"]) for row in listed.body} == {
        (str(good.pk), "toy_apply", "succeeded"),
        (str(bad.pk), "toy_apply", "failed"),
        (str(wrong.pk), "toy_apply", "failed"),
    }
    client = browser(owner)
    assert "the engine plans" in text_of(client.get(reverse("job", args=[good.pk])))
    raw = b"".join(client.get(reverse("job-log", args=[good.pk])).streaming_content).decode()
    assert f"==> {STAGE}\n" in raw
    failed = text_of(client.get(reverse("job", args=[bad.pk])))
    assert f"Toy {str(bad.pk)[:8]}" in failed
    assert "Putting the toy away" in failed, "a stage that was not reached"
    assert "Toy" in text_of(client.get(reverse("jobs"), {"type": TOY.type}))
    assert (job_figures(Actor.of(owner)).succeeded, job_figures(Actor.of(owner)).failed) == (1, 2)


def test_a_remote_daemon_fails_jobs_of_unknown_kinds(live_api, owner, organization):
    job = make_toy(owner, organization)
    client = RemoteClient(live_api.url, make_provisioner_key(), lease_seconds=30, kinds=load(settings.JOB_KINDS))
    client.register(FACTS)
    assert client.acquire() is None
    client.close()
    job.refresh_from_db()
    assert (job.status, job.error) == (JobStatus.FAILED, "this daemon cannot run jobs of type toy_apply")


def test_the_kinds_rule_decides_who_may_cancel(owner, organization):
    fixed, free = make_toy(owner, organization), make_toy(owner, organization, may_cancel=True)
    pages = {job: browser(owner).get(reverse("job", args=[job.pk])).content.decode() for job in (fixed, free)}
    assert [f"/jobs/{job.pk}/cancel" in page for job, page in pages.items()] == [False, True]
    queue = browser(owner).get(reverse("jobs")).content.decode()
    assert [f"/jobs/{job.pk}/cancel" in queue for job in (fixed, free)] == [False, True]
    with pytest.raises(Forbidden):
        administration.cancel(Actor.of(owner), fixed)
    administration.cancel(Actor.of(owner), free)
    statuses = [ProvisionerJob.objects.get(pk=job.pk).status for job in (fixed, free)]
    assert statuses == [JobStatus.PENDING, JobStatus.CANCELED]


def test_a_job_that_is_not_repeatable_ends_with_its_daemon(owner, organization):
    job = make_toy(owner, organization)
    jobs.release(claim(), "the daemon was shut down")
    job.refresh_from_db()
    assert (job.status, job.error) == (
        JobStatus.FAILED,
        "The job was lost: the daemon was shut down. Its effects so far are unknown.",
    )


def test_a_result_of_another_kind_is_rejected(owner, organization):
    make_job(user=owner, organization=organization)
    with pytest.raises(jobs.WrongResult):
        jobs.complete(claim(), ToyState(b"", 0))


# ---------------------------------------------------------------------- the table
def test_every_function_that_a_kind_names_exists():
    for kind in kinds():
        for path in filter(None, (kind.prepare, kind.completed, kind.readme_found, kind.cancelable)):
            assert callable(function(path))


def test_no_module_of_provisioning_names_a_kind():
    root = Path(provisioning.__file__).parent
    sources = [path for path in root.rglob("*") if path.suffix in {".py", ".html"} and "migrations" not in path.parts]
    assert len(sources) > 100
    names = {kind.type for kind in kinds()}
    knowing = {str(path.relative_to(root)) for path in sources for name in names if name in path.read_text()}
    assert knowing == set()


def test_an_undeclared_type_has_only_its_name(owner, organization):
    job = make_job(user=owner, organization=organization, job_type="gone")
    kind = kind_of(job)
    assert (kind.label, kind.stages, kind.run, kind.is_repeatable) == ("gone", (), None, False)
    assert f"gone {str(job.pk)[:8]}" in text_of(browser(owner).get(reverse("job", args=[job.pk])))


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: JobKinds([TOY, TOY]), "the job kind toy_apply is declared twice"),
        (lambda: JobKind(type="a", label="A", run=job_kinds.run_toy), "the job kind a runs: it needs payload"),
        (
            lambda: JobKinds(
                JobKind(type=name, label=name, payload=Shape("same", shape))
                for name, shape in (("a", ToyInput), ("b", ToyState))
            ),
            "the shape same has two types",
        ),
    ],
)
def test_an_invalid_declaration_is_rejected(declare, message):
    with pytest.raises(ValueError, match=message):
        declare()


def test_a_missing_list_of_kinds_is_reported():
    with pytest.raises(ImportError, match=r"templates_app\.job_kinds has no NONE"):
        load(("templates_app.job_kinds.NONE",))


def test_daemons_with_and_without_django_run_the_same_kinds(contribute):
    assert contribution_paths("job_kinds") == (ToyConfig.contributions["job_kinds"], *settings.JOB_KINDS)


def test_members_do_not_see_toy_jobs_of_others(owner, organization):
    make_toy(owner, organization)
    assert ApiClient(make_user(organizations=(organization,))).get("organizations/acme/provisionerjobs").body == []
