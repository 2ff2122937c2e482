"""``manage.py templates``, as used in a terminal."""

import io
import json
import tarfile
import threading
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from coderproj.identity.models import Organization
from provisioning.models import File, ParameterValue, ProvisionerJob
from templates_app.models import Template, TemplateVersion
from tests.factories import finish, make_file, make_organization, make_template, make_user, make_version
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner():
    organization = make_organization("acme", is_default=True)
    return make_user("ada", organizations=(organization,), site_roles=("owner",))


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "web"
    source.mkdir()
    (source / "main.tf").write_text('variable "region" {}\n')
    (source / "README.md").write_text("# Web\n")
    return source


@pytest.fixture
def _daemon():
    """Complete each waiting job, as a daemon would."""
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.wait(0.02):
                for job in ProvisionerJob.objects.waiting():
                    finish(job)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def run(*arguments: object, **options: object) -> str:
    out = io.StringIO()
    call_command("templates", *(str(argument) for argument in arguments), stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


@pytest.mark.usefixtures("_daemon")
def test_push_versions_promote_rollback_and_pull(owner, folder, tmp_path):
    assert "Created template web" in run("push", folder, "--version-name", "v1", "--message", "first")
    assert "Nothing has changed" in run("push", folder)
    (folder / "main.tf").write_text('variable "region" {}\nvariable "zone" {}\n')
    assert "v1 stays active" in run("push", folder, "--version-name", "v2")
    assert "v2 of web has these files; v1 stays active" in run("push", folder)
    unchanged = json.loads(run("--json", "push", folder))
    assert (unchanged["name"], unchanged["unchanged"]) == ("v2", True)
    assert "v2 of web has these files; it is now active" in run("push", folder, "--activate")
    assert "v1 of web is now active" in run("promote", "web", "v1")
    assert "v2 of web is now active" in run("promote", "web", "v2")
    assert "back from v2 to v1" in run("rollback", "web")
    (folder / "main.tf").write_text("# third\n")
    assert "v3 of web is now active" in run("push", folder, "--version-name", "v3", "--activate")

    rows = json.loads(run("--json", "versions", "web"))
    assert [(row["name"], row["job"]["status"]) for row in rows] == [
        ("v1", "succeeded"),
        ("v2", "succeeded"),
        ("v3", "succeeded"),
    ]
    assert rows[0]["message"] == "first"
    listed = run("versions", "web")
    assert "v2" in listed
    assert listed.count("active") == 1
    assert json.loads(run("--json", "list"))[0]["active_version_id"] == rows[2]["id"]

    run("pull", "web", tmp_path / "back", "--version", "v2")
    assert (tmp_path / "back" / "main.tf").read_text() == 'variable "region" {}\nvariable "zone" {}\n'
    assert (tmp_path / "back" / "README.md").read_text() == "# Web\n"
    run("pull", "web", tmp_path / "back.tar")
    with tarfile.open(tmp_path / "back.tar") as pulled:
        assert pulled.extractfile("main.tf").read() == b"# third\n"


@pytest.mark.usefixtures("_daemon")
def test_an_archive_and_a_file_of_values_can_be_pushed(owner, folder, tmp_path):
    with tarfile.open(tmp_path / "web.tar.gz", "w:gz") as made:
        made.add(folder, arcname=".")
    values = tmp_path / "values.yaml"
    values.write_text("region: eu\nzones: [a, b]\ncount: 3\nday: 2026-01-31\nlast: {day: 2026-02-28}\n")
    run("push", tmp_path / "web.tar.gz", "--parameters", values)
    stored = dict(ParameterValue.objects.values_list("name", "source_value"))
    days = {"day": "2026-01-31", "last": '{"day": "2026-02-28"}'}
    assert stored == {"region": "eu", "zones": '["a", "b"]', "count": "3", **days}
    assert Template.objects.get().name == "web"
    values.write_text("region: us\n")  # the same files, but not the same version
    run("push", tmp_path / "web.tar.gz", "--parameters", values)
    assert Template.objects.get().versions.count() == 2


@pytest.mark.usefixtures("_daemon")
def test_files_pushed_by_another_user_are_unchanged(owner, folder):
    run("push", folder)
    make_user("omar", organizations=(Organization.objects.get(),), site_roles=("owner",))
    assert "Nothing has changed" in run("push", folder, acting="omar")


@pytest.mark.usefixtures("_daemon")
def test_rollback_skips_archived_versions(owner, folder):
    for name in ("v1", "v2", "v3"):
        (folder / "main.tf").write_text(f"# {name}\n")
        run("push", folder, "--version-name", name, "--activate")
    TemplateVersion.objects.filter(name="v2").update(archived=True)
    assert "back from v3 to v1" in run("rollback", "web")


@pytest.mark.usefixtures("_daemon")
@pytest.mark.parametrize("ending", [{"error": "no such module"}, {"canceled_at": datetime.now(UTC)}])
def test_failed_versions_are_ignored(owner, folder, ending):
    for name in ("v1", "v2", "v3"):
        (folder / "main.tf").write_text(f"# {name}\n")
        run("push", folder, "--version-name", name, "--activate")
    ProvisionerJob.objects.filter(template_version__name="v2").update(**ending)
    assert "back from v3 to v1" in run("rollback", "web")
    ProvisionerJob.objects.filter(template_version__name="v3").update(**ending)
    assert "Imported version v4" in run("push", folder, "--version-name", "v4")  # the files of v3


def test_a_failed_import_is_exit_code_3_with_the_reason(owner, folder):
    def fail() -> None:
        try:
            job = wait_until(ProvisionerJob.objects.waiting().first, 10, "a job")
            finish(job, error="missing parameter: region")
        finally:
            connection.close()

    thread = threading.Thread(target=fail)
    thread.start()
    with pytest.raises(CommandError, match="missing parameter: region") as failure:
        run("push", folder)
    thread.join()
    assert failure.value.returncode == 3
    assert not Template.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("push", "/no/such/folder"), "not a folder or a file"),
        (("versions", "nothing"), "no template 'nothing'"),
        (("promote", "web", "v9"), "no version 'v9'"),
        (("rollback", "web"), "no usable version before"),
        (("list", "--organization", "nowhere"), "not found"),
        (("--as", "nobody", "list"), "no user 'nobody'"),
    ],
)
def test_an_error_is_exit_code_1_with_the_reason(owner, arguments, text):
    make_template(user=owner, organization=owner.organizations.get(), name="web")
    with pytest.raises(CommandError, match=text) as failure:
        run(*arguments)
    assert failure.value.returncode == 1


@pytest.mark.usefixtures("_daemon")
def test_values_of_the_command_line_override_each_other(owner, folder, tmp_path):
    (tmp_path / "p.yaml").write_text("a: yaml\nb: yaml\n")
    (tmp_path / "x.tfvars").write_text('b = "file"\nc = ["x", "y"]\nd = "file"\n')
    (tmp_path / "x.json").write_text('{"e": {"k": 1}, "f": "${literal}"}')
    arguments = (
        "--var",
        "b=first",
        "--var-file",
        tmp_path / "x.tfvars",
        "--var",
        "d=a=b",
        "--var-file",
        tmp_path / "x.json",
    )
    run("push", folder, "--parameters", tmp_path / "p.yaml", *arguments)
    values = dict(ParameterValue.objects.values_list("name", "source_value"))
    assert values == {"a": "yaml", "b": "file", "c": '["x", "y"]', "d": "a=b", "e": '{"k": 1}', "f": "${literal}"}
    run("push", folder, "--var", "a=")  # the same files, but with values
    assert TemplateVersion.objects.count() == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--var", "a"), "'a' does not have the form NAME=VALUE"),
        (("--var", "=b"), "does not have the form NAME=VALUE"),
        (("--var", f"{'n' * 65_537}=b"), r"parameters\[0\].name: "),
        (("--var-file", "/no/such.tfvars"), "var_file: /no/such.tfvars cannot be read"),
        (("--var-file", "bad.tfvars"), r"The value of b must be a constant: .* \(bad.tfvars:2\)"),
        (("--var-file", "null.tfvars"), "the value of 'a' is null"),
    ],
)
def test_invalid_values_of_the_command_line_are_named(owner, folder, tmp_path, monkeypatch, arguments, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.tfvars").write_text("a = 1\nb = var.a\n")
    (tmp_path / "null.tfvars").write_text("a = null\n")
    with pytest.raises(CommandError, match=text):
        run("push", folder, *arguments)
    assert not TemplateVersion.objects.exists()


@pytest.mark.usefixtures("_daemon")
def test_links_of_a_folder_are_followed_or_named(owner, folder, tmp_path):
    (folder / "docs").mkdir()
    (folder / "docs" / "manual.md").write_text("text")
    (folder / "manual.md").symlink_to("docs/manual.md")
    (folder / "outside").symlink_to("/etc/passwd")
    assert "Left out: outside" in run("push", folder)
    run("pull", "web", tmp_path / "pulled")
    assert (tmp_path / "pulled" / "manual.md").read_text() == "text"
    assert not (tmp_path / "pulled" / "outside").exists()


def test_a_failed_version_is_not_promoted(owner):
    organization = owner.organizations.get()
    template = make_template(user=owner, organization=organization, name="web")
    make_version(user=owner, organization=organization, template=template, name="v1.0_bad", error="no plan")
    with pytest.raises(CommandError, match=r"The import of version v1\.0_bad has the state failed\."):
        run("promote", "web", "v1.0_bad")
    template.refresh_from_db()
    assert template.active_version.name != "v1.0_bad"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--name", "examples"), "name: The name 'examples' is reserved"),
        (("--name", "Bad Name"), "name: Must be 1 to 32"),
        (("--name", "n" * 33), "name: Must be 1 to 32"),
        (("--version-name", "v 1"), "version_name: Must be 1 to 64"),
        (("--message", "m" * 1025), "message: "),
    ],
)
def test_invalid_names_are_rejected_before_anything_is_stored(owner, folder, options, text):
    with pytest.raises(CommandError, match=text) as failure:
        run("push", folder, *options)
    assert failure.value.returncode == 1
    assert not TemplateVersion.objects.exists()
    assert not File.objects.exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (f"? {'n' * 65_537}\n: 1\n", r"parameters\[0\].name: "),
        ("zones: !!set {a, b}\n", "parameters: the value of 'zones'"),
        ("zones: &all [*all]\n", "parameters: the value of 'zones'"),
        ("zones: [.nan]\n", "parameters: the value of 'zones'"),
        ("- a\n", "parameters: .* must contain a mapping"),
    ],
)
def test_invalid_values_are_rejected_by_name(owner, folder, tmp_path, content, text):
    values = tmp_path / "values.yaml"
    values.write_text(content)
    with pytest.raises(CommandError, match=text):
        run("push", folder, "--parameters", values)


def test_an_unwritable_target_is_named(owner, tmp_path):
    version = make_template(user=owner, organization=owner.organizations.get(), name="web").active_version
    version.job.file = make_file(owner)
    version.job.save()
    (tmp_path / "file").touch()
    for target in (tmp_path / "nowhere" / "x.tar", tmp_path / "file" / "x"):
        with pytest.raises(CommandError, match=f"{target} cannot be written: ") as failure:
            run("pull", "web", target)
        assert failure.value.returncode == 1


def test_the_command_has_the_rights_of_the_acting_user(owner, folder):
    member = make_user("mel", organizations=(owner.organizations.get(),))
    with pytest.raises(CommandError, match="Forbidden"):
        run("--as", member.username, "push", folder)


def test_an_existing_target_is_not_overwritten(owner, tmp_path):
    make_template(user=owner, organization=owner.organizations.get(), name="web")
    (tmp_path / "there").mkdir()
    with pytest.raises(CommandError, match="exists already"):
        run("pull", "web", tmp_path / "there")
