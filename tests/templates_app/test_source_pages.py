"""The files of a version, and of a starter, to be read."""

import re

import pytest

from provisioning.models import File, ProvisionerJob
from templates_app.models import TemplateVersion
from templates_app.source import MAX_LINE_CHARACTERS, MAX_LINES, MAX_TEXT_BYTES
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
    assert '<div class="line" id="L2"><a href="#L2">2</a><span>  default = &quot;&lt;b&gt;&quot;</span></div>' in page


def test_another_file_is_named_by_the_address(owner, version):
    client = browser(owner)
    page = client.get(f"{OWN}/files?file=build%2FDockerfile").content.decode()
    assert "<span>FROM debian</span>" in page
    assert 'aria-current="true">build/Dockerfile<' in page
    assert f'href="{OWN}/files?file=build%2FDockerfile#source"' in page
    missing = text_of(client.get(f"{OWN}/files?file=gone.tf"))
    assert "There is no file gone.tf" in missing
    assert "main.tf 3 lines" in missing


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
def test_what_is_not_shown_is_said(owner, version, content, said):
    _imported_from(version, owner, {"main.tf": content})
    assert said in text_of(browser(owner).get(f"{OWN}/files"))


def test_long_files_come_in_blocks_of_a_hundred_lines(owner, version):
    _imported_from(version, owner, {"only.tf": "x\n" * 250})
    page = browser(owner).get(f"{OWN}/files").content.decode()
    assert [block.count('class="line"') for block in page.split('<div class="lines')[1:]] == [100, 100, 50]
    assert page.count('<div class="lines full">') == 2


def test_an_archive_that_cannot_be_read_says_so(owner, version):
    File.objects.update(data=b"broken" * 200)
    answer = browser(owner).get(f"{OWN}/files")
    assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (200, True)
    File.objects.update(data=b"")
    assert "The archive is empty." in text_of(browser(owner).get(f"{OWN}/files"))


def test_the_source_is_for_its_author_and_administrators(organization, owner, version):
    member = make_user("mira", organizations=(organization,))
    client = browser(member)
    assert "Files" not in text_of(client.get(OWN))
    assert client.get(f"{OWN}/files").status_code == 404
    ProvisionerJob.objects.update(file=make_file(member, tar_of(FILES)))
    assert "Files" in text_of(client.get(OWN))
    assert client.get(f"{OWN}/files").status_code == 200


def test_without_files_there_is_no_such_page(owner, version):
    ProvisionerJob.objects.update(file=None)
    client = browser(owner)
    assert f'href="{OWN}/files"' not in client.get(OWN).content.decode()
    assert client.get(f"{OWN}/files").status_code == 404


@pytest.mark.parametrize(
    ("error", "place"),
    [
        ("Error: Unsupported attribute\n\n  on main.tf line 102, in resource", "main.tf:102"),
        ("ERROR: A block is not closed. (modules/a/x.tf.json:7)", "modules/a/x.tf.json:7"),
        ("Error: no such file main.tf", ""),
        ("Error: on notes.tfvars line 3", ""),
    ],
)
def test_an_error_leads_to_the_line_that_it_names(owner, organization, version, error, place):
    make_version(user=owner, organization=organization, template=version.template, name="bad", error=error)
    answer = browser(owner).get("/templates/acme/web/versions/bad")
    assert answer.status_code == 200
    page = answer.content.decode()
    found = re.search(r'href="([^"]+)">Open <span class="mono">([^<]+)</span>', page)
    assert (found[2] if found else "") == place
    if found:
        file, line = place.split(":")
        assert found[1] == f"/templates/acme/web/versions/bad/files?file={file.replace('/', '%2F')}#L{line}"


def test_problems_found_at_once_lead_to_their_lines(owner, organization, version):
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
