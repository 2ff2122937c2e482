"""What archives leave out: links and Terraform's working state. It is named and not stored."""

import gzip
import io
import tarfile

import pytest

from coderproj.base.errors import Invalid
from provisioning.files import archive
from provisioning.files.archive import rules
from tests.provisioning.files.archives import (
    END,
    LIMIT,
    MAIN,
    check,
    check_dribbled,
    make_tar,
    make_zip,
    pax,
    raw_header,
    special,
    stored_names,
)

STATE = [
    (".terraform/providers/evil", b"#!/bin/sh"),
    ("a/.terraform.lock.hcl", b"x"),
    ("terraform.tfstate", b"{}"),
    ("a/terraform.tfstate.backup", b"{}"),
    (".git/config", b"x"),
    ("._main.tf", b"x"),
    ("a/.DS_Store", b"x"),
]


@pytest.mark.promise("S4", "A10")
def test_working_state_is_left_out_and_listed(tmp_path):
    link = special(".terraform/providers/link", tarfile.SYMTYPE, "/root/.cache")
    data = make_tar(
        (link, None), *STATE, ("main.tf", MAIN), (".terraformrc.md", b"kept"), (".terraform.lock.hcl", b"kept")
    )
    info, stored = check(data)
    unpacked = archive.unpack(io.BytesIO(stored), tmp_path)
    assert unpacked.dropped == info.dropped
    assert stored_names(stored) == ["main.tf", ".terraformrc.md", ".terraform.lock.hcl", "."]
    assert set(info.dropped) == {
        ".terraform",
        "a/.terraform.lock.hcl",
        "terraform.tfstate",
        "a/terraform.tfstate.backup",
        ".git",
        "._main.tf",
        "a/.DS_Store",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [".terraform.lock.hcl", ".terraformrc.md", "main.tf"]


@pytest.mark.promise("S4", "A10")
def test_paths_outside_the_archive_are_rejected_below_dropped_names(measured):
    measured.add(archives=1)
    with pytest.raises(Invalid, match="points outside"):
        check(make_tar((".terraform/../../x", b"x")))


LINKS = [
    special("README.md", tarfile.SYMTYPE, "docs/README.md"),
    special("up", tarfile.SYMTYPE, "../../etc/passwd"),
    special("dangling", tarfile.SYMTYPE, "nowhere"),
    special("n" * 200, tarfile.SYMTYPE, "t" * 300),
    special("hard.tf", tarfile.LNKTYPE, "main.tf"),
]


@pytest.mark.promise("S4")
@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_links_are_left_out_and_named(tmp_path, tar_format, packed, measured):
    measured.add(archives=1)
    members = [("main.tf", MAIN), *((link, None) for link in LINKS), ("docs/README.md", b"# hello")]
    data = make_tar(*members, tar_format=tar_format)
    info, stored = check(packed(data))
    assert info.dropped == ("README.md", "up", "dangling", "n" * 200, "hard.tf")
    assert (info.files, info.size) == (2, len(stored))
    assert stored_names(stored) == ["main.tf", "docs/README.md", "."]
    assert check_dribbled(packed(data)) == info
    unpacked = archive.unpack(io.BytesIO(stored), tmp_path)
    assert unpacked.dropped[0] == "README.md (a symbolic link)"
    assert unpacked.dropped[-1] == "hard.tf (a hard link)"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "main.tf"]
    # A stored archive that is uploaded again stays as it is.
    assert check(stored)[1] == stored
    assert check(stored)[0].dropped == info.dropped


@pytest.mark.promise("S4")
def test_links_of_zips_are_left_out(tmp_path, measured):
    measured.add(archives=1)
    info, stored = check(make_zip(("ln", b"/etc/passwd"), mode=0o120777))
    assert (info.files, info.dropped) == (0, ("ln",))
    assert archive.unpack(io.BytesIO(stored), tmp_path).dropped == ("ln (a symbolic link)",)


@pytest.mark.promise("S4", "A10")
def test_what_is_left_out_is_not_stored(tmp_path):
    """Another reader, which follows links, must not be led out of its folder."""
    git = special(".git", tarfile.SYMTYPE, "/elsewhere")
    inner = special("a/link", tarfile.SYMTYPE, "/elsewhere")
    data = make_tar((git, None), (".git/x", b"secret"), (inner, None), ("a/link/x", b"kept"), *STATE, ("main.tf", MAIN))
    _, stored = check(data)
    assert b"elsewhere" not in stored
    assert b"secret" not in stored
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        assert all(member.isfile() or member.isdir() for member in tar)
        assert tar.getnames() == ["a/link/x", "main.tf", "."]


def test_the_content_of_large_members_is_left_out(tmp_path):
    data = make_tar(("terraform.tfstate", b"s" * 900_000), ("main.tf", MAIN), (".git/pack", b"p" * 3_000_000))
    info, stored = check(data, 8 * LIMIT)
    assert info.size == len(stored) < 20_000
    assert archive.unpack(io.BytesIO(stored), tmp_path).dropped == ("terraform.tfstate", ".git")


def test_thousands_of_links_are_named_within_bounds(tmp_path):
    links = [(special(f"node_modules/.bin/{'n' * 200}{n}", tarfile.SYMTYPE, "x"), None) for n in range(3000)]
    info, stored = check(make_tar(*links, ("main.tf", MAIN)), 16 * LIMIT)
    assert len(info.dropped) == rules.MAX_DROPPED_NAMES
    assert len(stored) < rules.MAX_NOTE_BYTES + 4096
    assert archive.unpack(io.BytesIO(stored), tmp_path).files == 1


def test_headers_held_back_have_a_bound():
    many = b"".join(pax([(b"comment", b"c" * 60_000)], b"g") for _ in range(30))
    with pytest.raises(Invalid, match="too many extended headers"):
        check(many + make_tar(("main.tf", MAIN)), 8 * LIMIT)


def test_a_forged_note_names_nothing_but_printable_names(tmp_path):
    comment = b"Left out:\nx (a symbolic link)\n\x1b[31mred\n"
    forged = pax([(b"comment", comment)]) + raw_header(b".", typeflag=b"5") + END
    assert archive.unpack(io.BytesIO(check(forged)[1]), tmp_path).dropped == ("x (a symbolic link)",)


@pytest.mark.promise("S4", "A10")
def test_pack_follows_links_inside_the_folder(tmp_path):
    source, outside = tmp_path / "source", tmp_path / "outside"
    (source / "docs").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("s")
    (source / "docs" / "README.md").write_text("# hello")
    (source / ".env").write_text("SECRET=1")
    (source / "main.tf").write_bytes(MAIN)
    for name, target in {
        "README.md": "docs/README.md",
        "manual": "docs",
        "docs/loop": "..",
        "passwd": "/etc/passwd",
        "out": "../outside",
        "dangling": "nowhere",
        "self": "self",
        "environment": ".env",
        "absolute.md": str(source / "docs" / "README.md"),
    }.items():
        (source / name).symlink_to(target)
    packed = archive.pack(source)
    info, stored = check(packed)
    assert stored == packed
    assert set(info.dropped) == {"docs/loop", "manual/loop", "passwd", "out", "dangling", "self", "environment"}
    archive.unpack(io.BytesIO(stored), tmp_path / "job")
    found = {path.relative_to(tmp_path / "job").as_posix() for path in (tmp_path / "job").rglob("*") if path.is_file()}
    assert found == {"README.md", "absolute.md", "docs/README.md", "main.tf", "manual/README.md"}
    assert (tmp_path / "job" / "README.md").read_text() == "# hello"
