"""The catalogue of starter templates."""

import io
import tarfile
import uuid
from pathlib import Path

import pytest

from provisioning.engine.hcl import read_module
from templates_app import starters as catalogue
from templates_app.starters import StarterError, archive, find, pack, read_catalogue, starters

SLUGS = ["docker", "hello", "kubernetes"]


def test_the_catalogue_is_sorted_and_complete() -> None:
    assert [starter.slug for starter in starters()] == SLUGS
    for starter in starters():
        assert starter.name
        assert starter.description
        assert starter.icon.startswith("/icon/")
        assert starter.tags
        assert starter.url.endswith(f"/{starter.slug}")
        assert starter.markdown.startswith("\n# ")


def test_ids_are_stable_and_find_their_starter() -> None:
    hello = find("hello")
    assert hello is not None
    assert hello.id == uuid.UUID("79564c8e-204b-56d6-8669-6c49cf2672ba")
    assert hello.id.version == 5
    for spelling in (str(hello.id), str(hello.id).upper(), f"{{{hello.id}}}", hello.id.hex):
        assert find(spelling) == hello
    assert len({starter.id for starter in starters()}) == len(SLUGS)


@pytest.mark.parametrize("reference", ["", "nope", "../hello", str(uuid.UUID(int=0)), "HELLO"])
def test_unknown_references_find_nothing(reference: str) -> None:
    assert find(reference) is None


@pytest.mark.parametrize("slug", SLUGS)
def test_archives_are_plain_and_always_the_same(slug: str) -> None:
    content = archive(slug)
    assert content == archive(slug)
    assert content.endswith(bytes(1024))
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        members = tar.getmembers()
        names = [member.name for member in members]
        assert "README.md" in names
        assert "main.tf" in names
        for member in members:
            assert member.mode == (0o755 if member.isdir() else 0o644)
            assert (member.isdir() or member.isfile(), member.mtime, member.uid, member.uname) == (True, 0, 0, "")
        main = tar.extractfile("main.tf")
        assert main is not None
        assert main.read() == (catalogue.FOLDER / slug / "main.tf").read_bytes()


def test_an_archive_lists_folders_before_their_files_and_skips_caches(tmp_path: Path) -> None:
    for name in ("b/two.txt", "b/one/x.txt", "a.txt", "c.txt", ".terraform/x", "b/.lock"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with tarfile.open(fileobj=io.BytesIO(pack(tmp_path)), mode="r:") as tar:
        assert tar.getnames() == ["a.txt", "b", "b/one", "b/one/x.txt", "b/two.txt", "c.txt"]


def test_an_unknown_slug_has_no_archive() -> None:
    with pytest.raises(KeyError):
        archive("nope")


@pytest.mark.parametrize(
    ("readme", "problem"),
    [
        (None, "cannot be read"),
        (b"\xff", "not valid UTF-8"),
        (b"# Title\n", "does not start with front matter"),
        (b"---\nname: x\n", "is not closed"),
        (b"---\nname: [\n---\n", "not valid YAML"),
        (b"---\n- a\n---\n", "must be a mapping of names to values"),
        (b"---\ndescription: x\n---\n", "has no name"),
        (b"---\nname: x\n---\n", "has no description"),
        (b"---\nname: 1\ndescription: x\n---\n", "name in the front matter of README.md must be a string"),
        (b"---\nname: x\ndescription: x\ntags: cloud\n---\n", "must be a list of strings"),
        (b"---\nname: x\ndescription: x\ntags: [1]\n---\n", "must be a list of strings"),
        (b"---\nname: x\ndescription: x\nicon: [a]\n---\n", "icon in the front matter of README.md must be a string"),
    ],
)
def test_a_broken_starter_is_named(tmp_path: Path, readme: bytes | None, problem: str) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    if readme is not None:
        (folder / "README.md").write_bytes(readme)
    with pytest.raises(StarterError, match='starter "broken": ') as caught:
        read_catalogue(tmp_path)
    assert problem in str(caught.value)


def test_tags_and_icon_are_optional(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/README.md").write_text("---\nname: Plain\ndescription: Nothing else\n---\n\n# Plain\n")
    (starter,) = read_catalogue(tmp_path)
    assert (starter.tags, starter.icon, starter.markdown) == ((), "", "\n# Plain\n")


def test_hello_needs_only_the_coder_provider() -> None:
    module = read_module(catalogue.FOLDER / "hello")
    assert module.provider_usage == {}
    assert [call.is_local for call in module.module_calls] == [True]
    assert [variable.name for variable in module.variables] == ["region"]
    assert [parameter.name for parameter in module.literal_parameters] == [
        "project",
        "disk_size",
        "monitoring",
        "machine_type",
    ]


@pytest.mark.parametrize(
    ("slug", "provider"),
    [
        ("docker", "registry.terraform.io/kreuzwerker/docker"),
        ("kubernetes", "registry.terraform.io/hashicorp/kubernetes"),
    ],
)
def test_other_starters_use_one_more_provider(slug: str, provider: str) -> None:
    assert list(read_module(catalogue.FOLDER / slug).provider_usage) == [provider]


def test_no_starter_has_required_variables() -> None:
    """A starter can be imported without any values."""
    for slug in SLUGS:
        for variable in read_module(catalogue.FOLDER / slug).variables:
            assert variable.default_source_value is not None
