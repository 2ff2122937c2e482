"""The pages with the files of a version and of a starter."""

import html
import re
from urllib.parse import urlencode

import pytest

from provisioning.models import File, ProvisionerJob
from templates_app import source
from templates_app.models import TemplateVersion
from templates_app.source import MAX_LINE_CHARACTERS, MAX_LINES, MAX_TEXT_BYTES, lines_of, open_source
from tests.factories import make_file, make_template, make_user, make_version
from tests.pages import browser, text_of
from tests.vocabulary import tar_of

pytestmark = pytest.mark.django_db
OWN = "/templates/acme/web/versions/first"
FILES = {
    "README.md": "# Web\n",
    "build/Dockerfile": "FROM debian\n",
    "a.tf": "# a\n",
    "main.tf": 'variable "a" {\n  default = "<b>"\n}\n',
}


@pytest.fixture
def version(owner, organization):
    template = make_template(user=owner, organization=organization, name="web")
    return _imported_from(template.active_version, owner, FILES)


def _imported_from(version, owner, files):
    TemplateVersion.objects.filter(pk=version.pk).update(name="first")
    version.refresh_from_db()
    ProvisionerJob.objects.filter(pk=version.job_id).update(file=make_file(owner, tar_of(files)))
    return version


def listed(page: str) -> list[str]:
    return re.findall(r'href="[^"]+\?file=[^"]+#source"[^>]*>([^<]+)<', page)


def test_the_files_are_listed_and_the_main_one_is_shown_with_numbered_lines(owner, version):
    answer = browser(owner).get(f"{OWN}/files")
    page = answer.content.decode()
    assert listed(page) == ["README.md", "a.tf", "build/Dockerfile", "main.tf"]
    assert 'aria-current="true">main.tf<' in page
    assert "main.tf 3 lines" in text_of(answer)
    line = '<a href="#L2" tabindex="-1">2</a><span>  default = &quot;&lt;b&gt;&quot;</span>'
    assert f'<div class="line" id="L2">{line}</div>' in page


def test_another_file_is_named_by_the_address(owner, version):
    client = browser(owner)
    page = client.get(f"{OWN}/files?file=build%2FDockerfile").content.decode()
    assert "<span>FROM debian</span>" in page
    assert 'aria-current="true">build/Dockerfile<' in page
    assert f'href="{OWN}/files?file=build%2FDockerfile#source"' in page


def test_missing_file_is_reported(owner, version):
    """An error can name a file that was not uploaded. Its link must not show a line of another file."""
    answer = browser(owner).get(f"{OWN}/files?file=gone.tf")
    assert "The archive has no file gone.tf" in text_of(answer)
    assert len(listed(answer.content.decode())) == 4
    assert 'id="L' not in answer.content.decode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty."),
        (b"\xff\xfe", "Not shown: not a text file."),
        (b"a\0b", "Not shown: not a text file."),
        (b"x\n" * (MAX_TEXT_BYTES // 2 + 1), "Not shown: more than 256 KiB."),
        (b"x\n" * (MAX_LINES + 1), f"Not shown: more than {MAX_LINES} lines."),
        (b"x" * (MAX_LINE_CHARACTERS + 1), f"Not shown: lines of more than {MAX_LINE_CHARACTERS} characters."),
    ],
)
def test_reason_for_not_showing_a_file_is_given(owner, version, content, said):
    _imported_from(version, owner, {"main.tf": content})
    assert said in text_of(browser(owner).get(f"{OWN}/files"))


def test_long_files_come_in_blocks_of_a_hundred_lines(owner, version):
    _imported_from(version, owner, {"only.tf": "x\n" * 250})
    page = browser(owner).get(f"{OWN}/files").content.decode()
    assert [block.count('class="line"') for block in page.split('<div class="lines')[1:]] == [100, 100, 50]
    assert page.count('<div class="lines full">') == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\r\nb\n", ["a", "b"]),
        ("a\n\nb", ["a", "", "b"]),
        ("\n", [""]),
        ("", []),
        ("# a\x0cb\u2028c\u0085d\n", ["# a⟨U+000C⟩b⟨U+2028⟩c⟨U+0085⟩d"]),
        ("# \u202ereversed\u2069\n\ttab", ["# ⟨U+202E⟩reversed⟨U+2069⟩", "\ttab"]),
    ],
)
def test_lines_match_terraform_and_show_control_characters(text, lines):
    assert lines_of(text.encode()) == lines


@pytest.mark.parametrize(
    ("wanted", "chosen"), [("", "main.tf"), ("z.tf", "z.tf"), ("big.tf", "big.tf"), ("gone.tf", None)]
)
def test_one_pass_finds_the_file_that_is_read_first_or_wanted(wanted, chosen):
    files = {"README.md": "r", "big.tf": b"x" * (MAX_TEXT_BYTES + 1), "main.tf": "m", "z.tf": "z"}
    source = open_source(tar_of(files), wanted)
    assert [file.path for file in source.files] == sorted(files)
    assert (source.chosen.path if source.chosen else None) == chosen
    assert source.content == {"main.tf": b"m", "z.tf": b"z"}.get(chosen or "", b""), "a large file is not read"


def test_too_large_archive_is_not_read(owner, organization, version, monkeypatch):
    client = browser(owner)
    monkeypatch.setattr(source, "MAX_FILES", 3)
    answer = client.get(f"{OWN}/files")
    assert "The version has more than 3 files." in text_of(answer)
    assert f'href="/api/v2/files/{File.objects.latest("created_at").pk}"' in answer.content.decode()
    monkeypatch.setattr(source, "MAX_FILES", 4)
    monkeypatch.setattr(source, "MAX_ARCHIVE_BYTES", 1024)
    assert "The version has more than 0 MiB of files." in text_of(client.get(f"{OWN}/files"))
    File.objects.update(size=1024)
    assert "main.tf 3 lines" in text_of(client.get(f"{OWN}/files"))
    newer = make_version(user=owner, organization=organization, template=version.template, name="newer")
    ProvisionerJob.objects.filter(pk=newer.job_id).update(file=make_file(owner, tar_of({"main.tf": "# new"})))
    text = text_of(client.get("/templates/acme/web/versions/newer/changes"))
    assert "Not compared: more than 0 MiB of files." in text
    assert "Both have the same parameters." in text


def test_unreadable_archive_is_reported(owner, version):
    File.objects.update(data=b"broken" * 200)
    answer = browser(owner).get(f"{OWN}/files")
    assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (200, True)
    File.objects.update(data=b"")
    assert "The archive is empty." in text_of(browser(owner).get(f"{OWN}/files"))


def test_source_is_visible_to_author_and_administrators(organization, owner, version):
    member = make_user("mira", organizations=(organization,))
    client = browser(member)
    assert "Files" not in text_of(client.get(OWN))
    assert client.get(f"{OWN}/files").status_code == 404
    ProvisionerJob.objects.update(file=make_file(member, tar_of(FILES)))
    assert "Files" in text_of(client.get(OWN))
    assert client.get(f"{OWN}/files").status_code == 200


def test_version_without_files_has_no_files_page(owner, version):
    ProvisionerJob.objects.update(file=None)
    client = browser(owner)
    assert f'href="{OWN}/files"' not in client.get(OWN).content.decode()
    assert client.get(f"{OWN}/files").status_code == 404


@pytest.mark.parametrize(
    ("error", "place"),
    [
        ("Error: Unsupported attribute\n\n  on main.tf line 102, in resource", ("main.tf", 102)),
        ("Error: x\n\n  on my modules/a b.tf line 3, in locals:", ("my modules/a b.tf", 3)),
        ("ERROR: A block is not closed. (modules/a b/x@1.tf.json:7)", ("modules/a b/x@1.tf.json", 7)),
        ("Error: no such file main.tf", None),
        ("Error: on notes.tfvars line 3", None),
        ("Error: see (https://example.com/a/main.tf:3)", None),
    ],
)
def test_error_links_to_its_source_line(owner, organization, version, error, place):
    bad = make_version(user=owner, organization=organization, template=version.template, name="bad", error=error)
    for page in ("/templates/acme/web/versions/bad", f"/jobs/{bad.job_id}"):
        answer = browser(owner).get(page)
        assert answer.status_code == 200
        found = re.search(r'href="([^"]+)" title="([^"]+)">Open the line<', answer.content.decode())
        if place is None:
            assert found is None
            continue
        file, line = place
        assert found
        assert html.unescape(found[2]) == f"{file}:{line}"
        assert found[1] == f"/templates/acme/web/versions/bad/files?{urlencode({'file': file})}#L{line}"


def test_job_links_to_files_only_if_readable(owner, organization, version):
    member = make_user("mira", organizations=(organization,))
    error = "Error: x\n\n  on main.tf line 2, in locals:"
    bad = make_version(user=member, organization=organization, template=version.template, name="bad", error=error)
    for author, is_led in ((member, True), (owner, False)):
        ProvisionerJob.objects.filter(pk=bad.job_id).update(file=make_file(author, tar_of(FILES)))
        answer = browser(member).get(f"/jobs/{bad.job_id}")
        assert (answer.status_code, "Open the line" in answer.content.decode()) == (200, is_led)
    ProvisionerJob.objects.filter(pk=bad.job_id).update(file=None)
    assert "Open the line" not in browser(owner).get(f"/jobs/{bad.job_id}").content.decode()


def test_preview_problems_link_to_their_lines(owner, organization, version):
    new = make_version(user=owner, organization=organization, name="next", template=version.template, finished=False)
    ProvisionerJob.objects.filter(pk=new.job_id).update(file=make_file(owner, tar_of({"main.tf": "\nvariable {"})))
    page = browser(owner).get("/templates/acme/web/versions/next").content.decode()
    assert re.search(r'href="/templates/acme/web/versions/next/files\?file=main\.tf#L\d+">main\.tf:\d+<', page)


def test_files_of_a_starter_can_be_read_before_it_is_used(owner):
    client = browser(owner)
    page = client.get("/starters/docker").content.decode()
    assert {"main.tf", "README.md"} <= set(listed(page))
    assert "<span>terraform {</span>" in page
    assert "README.md" in text_of(client.get("/starters/docker?file=README.md")).partition("main.tf")[0]
