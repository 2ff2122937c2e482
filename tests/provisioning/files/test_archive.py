"""Archives: which are accepted, which are rejected and how, and what a job finds in its folder."""

import gzip
import io
import stat
import struct
import tarfile

import pytest

from coderproj.base.errors import DomainError, Invalid, TooLarge
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
)

LONG = "d/" * 40 + "f.tf"

REJECTED = [
    (make_tar(("/etc/passwd", b"x")), "'/etc/passwd' has an absolute name"),
    (make_tar(("../../../etc/passwd", b"x")), "'../../../etc/passwd' points outside the archive"),
    (make_tar(("a/../../b.tf", b"x")), "'a/../../b.tf' points outside"),
    (make_tar((special("null", tarfile.CHRTYPE), None)), "'null' is a device"),
    (make_tar((special("sda", tarfile.BLKTYPE), None)), "'sda' is a device"),
    (make_tar((special("pipe", tarfile.FIFOTYPE), None)), "'pipe' is a named pipe"),
    (make_tar((special("x", b"V"), None)), "'x' is neither a file nor a directory"),
    (make_tar(("a\nb.tf", b"x")), r"'a\nb.tf' has a control character"),
    (make_tar(("a\x1b[31m.tf", b"x")), "has a control character"),
    (make_tar(("a\u202eft.tf", b"x")), "has a control character"),
    (pax([(b"path", b"main.tf\0.txt")]) + raw_header(b"x") + END, r"'main.tf\x00.txt' has a control character"),
    (make_tar(("a\\b.tf", b"x")), "has a backslash in its name"),
    (make_tar(("C:evil.tf", b"x")), "has a drive letter"),
    (make_tar(("a.tf", b"1"), ("./a.tf", b"2")), "'./a.tf' occurs twice"),
    (make_tar(("a", b"1"), ("a/b.tf", b"2")), "'a/b.tf' is inside a file"),
    (make_tar(("a/b.tf", b"1"), ("a", b"2")), "'a' is both a file and a directory"),
    (make_tar(("a", None), ("a", b"2")), "'a' is both a file and a directory"),
    (make_tar((LONG, b"x")), "directories deep"),
    (make_tar(("n" * 256, b"x")), "more than 255 bytes"),
    (make_tar(("/".join(["m" * 200] * 6), b"x")), "more than 1024 bytes"),
    (raw_header(b"\xff\xfe.tf") + END, "is not UTF-8"),
    (raw_header(b"") + END, "without a name"),
    (raw_header(b".") + END, "has no name"),
    (raw_header(b"d/", size=512, typeflag=b"5") + bytes(512) + END, "is a directory with content"),
    (raw_header(b"sparse.tf", typeflag=b"S") + END, "'sparse.tf' is a sparse file"),
    (pax([(b"GNU.sparse.major", b"1")]) + raw_header(b"x") + END, "sparse"),
    (pax([(b"path", b"../evil")]) + raw_header(b"good.tf") + END, "'../evil' points outside"),
    (pax([(b"path", b"all.tf")], b"g") + raw_header(b"x") + END, "global header"),
    (pax([(b"size", b"-1")]) + raw_header(b"x") + END, "invalid size"),
    (pax([(b"size", b"9" * 14)]) + raw_header(b"x") + END, "ends within a member"),
    (raw_header(b"pax", size=7, typeflag=b"x") + b"9 a=bc\n".ljust(512, b"\0") + END, "malformed"),
    (raw_header(b"pax", size=1 << 20, typeflag=b"x") + bytes(1 << 20), "too large"),
    (pax([(b"path", b"a.tf")]) + END, "ends within a header"),
    (raw_header(b"neg.tf", size_field=b"\xff" * 12) + END, "negative number"),
    (raw_header(b"odd.tf", size_field=b"12345678x9a\0") + END, "invalid number"),
    (raw_header(b"huge.tf", size_field=b"\x80" + b"\x00" * 4 + b"\x7f" * 7) + END, "ends within a member"),
    (raw_header(b"big.tf", size=4096) + bytes(100), "after the member 'big.tf': it ends within a member"),
    (make_tar(("a.tf", MAIN))[:700], "after the member 'a.tf'"),
    (make_tar(("a.tf", MAIN), ("b.tf", MAIN))[: 1024 + 300], "after the member 'a.tf': it ends within a header"),
    (raw_header(b"a.tf") + b"7" * 512 + END, "after the member 'a.tf': a header has a wrong checksum"),
    (make_tar(("a.tf", MAIN)) + make_tar(("b.tf", MAIN)), "data after its end marker"),
    (b"", "is empty"),
    (b"testing", "not an archive"),
    (b"x" * 5000, "not an archive"),
    (bytes(511), "not an archive"),
    (gzip.compress(make_tar(("../x.tf", b"x"))), "'../x.tf' points outside"),
    (gzip.compress(make_tar(("a.tf", MAIN)))[:-20], "gzip stream is broken"),
    (gzip.compress(make_tar(("a.tf", MAIN))) + b"more", "followed by other data"),
    (b"\x1f\x8b" + b"x" * 600, "gzip stream is broken"),
    (make_zip(("../x.tf", b"x")), "'../x.tf' points outside"),
    (make_zip(("/x.tf", b"x")), "absolute"),
    (make_zip(("p", b""), mode=0o010644), "'p' is neither a file nor a directory"),
    (make_zip(("a.tf", MAIN))[:-30], "zip archive is broken"),
    (make_zip(("a.tf", MAIN)).replace(b"a.tf", b"a\x00tf"), "control character"),
    (b"PK\x03\x04" + b"x" * 600, "zip archive is broken"),
    (b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 64 << 20, 0, 0), "too many members"),
]


@pytest.mark.promise("S4")
@pytest.mark.parametrize(("data", "message"), REJECTED, ids=[message for _, message in REJECTED])
def test_unsafe_and_broken_archives_are_rejected_naming_the_member(data, message, measured):
    measured.add(archives=1)
    with pytest.raises(Invalid) as caught:
        check(data, 16 * LIMIT)
    assert message in f"{caught.value.message} {caught.value.detail}"
    assert caught.value.message.isprintable()


@pytest.mark.promise("S4")
def test_too_many_members_are_rejected_naming_the_first(measured):
    measured.add(archives=1)
    data = make_tar(*((f"f{number}", b"") for number in range(rules.MAX_MEMBERS + 1)))
    with pytest.raises(Invalid) as caught:
        check(data, 16 * LIMIT)
    assert "'f10000' exceeds the limit" in f"{caught.value.message} {caught.value.detail}"


@pytest.mark.promise("S4")
@pytest.mark.parametrize(
    "data",
    [
        make_tar(("main.tf", MAIN)),
        make_tar((".", None), ("./main.tf", MAIN), ("./sub", None), ("./sub/a.tf", MAIN)),
        make_tar(("sub/a.tf", MAIN), ("sub", None)),
        make_tar(("n" * 200 + ".tf", MAIN), tar_format=tarfile.GNU_FORMAT),
        make_tar(("p/" * 20 + "n" * 90 + ".tf", MAIN), tar_format=tarfile.USTAR_FORMAT),
        make_tar(("größe.tf", MAIN)),
        pax([(b"comment", b"0123456789abcdef")], b"g") + make_tar(("main.tf", MAIN)),
        make_tar(("main.tf", MAIN)).rstrip(b"\0").ljust(1024, b"\0"),  # without an end marker
    ],
)
def test_good_tars_are_stored_byte_for_byte_and_unpack(data, tmp_path):
    info, stored = check(data)
    assert stored == data
    assert info.size == len(data)
    assert info.files >= 1
    unpacked = archive.unpack(io.BytesIO(stored), tmp_path)
    assert unpacked.files == info.files
    assert all(path.read_bytes() == MAIN for path in tmp_path.rglob("*.tf"))
    assert check_dribbled(data) == info


def test_a_kibibyte_of_zeros_is_an_empty_archive(tmp_path):
    info, stored = check(bytes(1024))
    assert (info.files, stored) == (0, bytes(1024))
    assert archive.unpack(io.BytesIO(stored), tmp_path) == archive.Unpacked(0, ())


def test_gzip_is_decompressed():
    plain = make_tar(("main.tf", MAIN))
    info, stored = check(gzip.compress(plain))
    assert stored == plain
    assert info == check(plain)[0] == check_dribbled(gzip.compress(plain))


def test_zips_of_the_same_content_become_the_same_tar(tmp_path):
    info, stored = check(make_zip(("sub/b.tf", MAIN), ("main.tf", MAIN), ("sub/", b"")))
    assert check(make_zip(("sub/", b""), ("main.tf", MAIN), ("sub/b.tf", MAIN)))[0] == info
    assert info.files == 2
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        assert tar.getnames() == ["main.tf", "sub", "sub/b.tf"]
    archive.unpack(io.BytesIO(stored), tmp_path)
    assert (tmp_path / "sub/b.tf").read_bytes() == MAIN
    assert check(make_zip())[0].files == 0


@pytest.mark.promise("S4")
@pytest.mark.parametrize(
    "data",
    [
        make_tar(("big.tf", bytes(LIMIT))),
        gzip.compress(make_tar(("bomb.tf", bytes(LIMIT)))),
        gzip.compress(bytes(2 * LIMIT)),
        make_zip(("a.tf", bytes(LIMIT))),
    ],
)
def test_archives_over_the_limit_are_too_large(data):
    with pytest.raises(TooLarge, match=str(LIMIT)):
        check(data)


@pytest.mark.promise("S4")
def test_a_zip_bomb_is_rejected_before_unpacking():
    with pytest.raises(Invalid, match=r"'b\.tf' is too large when unpacked"):
        check(make_zip(("a.tf", bytes(LIMIT)), ("b.tf", bytes(LIMIT))))


def test_a_zip_with_a_wrong_size_is_rejected():
    data = bytearray(make_zip(("a.tf", b"0" * 5000)))
    data[data.rindex(b"PK\x01\x02") + 24 :][:4] = struct.pack("<L", 10)
    position = data.rindex(b"PK\x01\x02") + 24
    data[position : position + 4] = struct.pack("<L", 10)
    with pytest.raises(Invalid):
        check(bytes(data))


def test_modes_are_reduced_to_the_executable_bit(tmp_path):
    script, setuid = tarfile.TarInfo("run.sh"), tarfile.TarInfo("s.sh")
    script.mode, setuid.mode = 0o700, 0o6666
    archive.unpack(io.BytesIO(make_tar((script, b"#!"), (setuid, b"x"))), tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["run.sh"] & 0o100
    assert not modes["s.sh"] & 0o7100


@pytest.mark.promise("S4")
def test_unpack_follows_no_links_and_replaces_nothing(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "main.tf").symlink_to(outside)
    with pytest.raises(FileExistsError):
        archive.unpack(io.BytesIO(make_tar(("main.tf", MAIN))), folder)
    assert outside.read_text() == "untouched"


@pytest.mark.promise("S4")
def test_unpack_checks_the_members(tmp_path):
    path = tmp_path / "source.tar"
    path.write_bytes(make_tar(("../escaped.tf", b"x")))
    with pytest.raises(DomainError, match=r"'\.\./escaped\.tf'"):
        archive.unpack(path, tmp_path / "job")
    assert not (tmp_path / "escaped.tf").exists()


def test_pack_and_unpack_are_inverse_and_deterministic(tmp_path):
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    (source / "main.tf").write_bytes(MAIN)
    (source / "images" / ("n" * 120 + ".tf")).write_bytes(b"x" * 513)
    (source / ".env").write_text("SECRET=1")
    (source / "terraform.tfstate").write_text("{}")
    (source / "run.sh").write_text("#!")
    (source / "run.sh").chmod(0o755)
    packed = archive.pack(source)
    (source / "main.tf").touch()
    assert archive.pack(source) == packed
    info, stored = check(packed)
    assert (info.files, info.dropped, stored) == (3, (), packed)
    archive.unpack(io.BytesIO(packed), tmp_path / "job")
    found = sorted(path.relative_to(tmp_path / "job").as_posix() for path in (tmp_path / "job").rglob("*"))
    assert found == ["images", f"images/{'n' * 120}.tf", "main.tf", "run.sh"]
    assert (tmp_path / "job/run.sh").stat().st_mode & 0o100
