"""Files are stored and read in pieces."""

import hashlib
import io
import os
import zipfile

import pytest

from coderproj.identity.actor import Actor
from provisioning.files import stored
from provisioning.files.archive import zipping
from provisioning.models import PIECE_BYTES, File, FilePiece
from tests.api import ApiClient, fields_of
from tests.factories import make_organization, make_user
from tests.provisioning.files.archives import make_tar, make_zip

pytestmark = pytest.mark.django_db
SIZES = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 17]


def data_of(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


@pytest.fixture
def user():
    return make_user(organizations=(make_organization(is_default=True),))


def test_a_download_as_zip_has_the_same_files(user):
    files = {"main.tf": b"resource", "modules/a/main.tf": b"x" * 300_000, "empty": b""}
    file = stored.store(Actor.of(user), make_tar(*files.items())).file
    client = ApiClient(user)
    answer = client.get(f"files/{file.pk}?format=zip")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.raw)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")} == files
    assert client.get(f"files/{file.pk}?format=zip").raw == answer.raw
    for query in ("", "?format=", "?format=tar"):
        assert client.get(f"files/{file.pk}{query}").headers["Content-Type"] == "application/x-tar"
    bad = client.get(f"files/{file.pk}?format=rar")
    assert (bad.status_code, fields_of(bad)) == (400, ["format"])
    assert ApiClient(make_user("stranger")).get(f"files/{file.pk}?format=zip").status_code == 404
    # What was downloaded can be uploaded again.
    assert client.call("POST", "files", raw=answer.raw, content_type="application/zip").status_code in {200, 201}


def test_what_is_not_a_tar_has_no_zip(user):
    for content in (b"no tar", b"", b"x" * 5000):
        file = stored.store(Actor.of(user), content).file
        assert ApiClient(user).get(f"files/{file.pk}?format=zip").status_code == 400


def test_a_zip_is_made_while_it_is_read(user):
    file = stored.store(Actor.of(user), make_tar(*((f"f{number}", os.urandom(100_000)) for number in range(50)))).file
    pieces = zipping.from_tar(stored.pieces(file.pk))
    assert len(next(pieces)) < 200_000
    pieces.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_read_as_it_was_stored(user, size):
    data = data_of(size)
    file = stored.store(Actor.of(user), data).file
    assert (file.size, file.hash) == (size, hashlib.sha256(data).hexdigest())
    assert stored.content(file.pk) == data
    assert max(map(len, stored.pieces(file.pk))) <= PIECE_BYTES
    assert FilePiece.objects.filter(file=file).count() == max(0, -(-size // PIECE_BYTES) - 1)
    answer = ApiClient(user).get(f"files/{file.pk}")
    assert (answer.raw, answer.headers["Content-Length"]) == (data, str(size))
    assert answer.headers["Content-Type"] == "application/x-tar"


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/x-tar", "application/zip"])
@pytest.mark.parametrize("archive", [make_tar(("main.tf", b"")), make_zip(("main.tf", b""))], ids=["tar", "zip"])
def test_the_content_of_an_upload_tells_its_format(user, content_type, archive):
    answer = ApiClient(user).post("files", raw=archive, content_type=content_type)
    assert answer.status_code == 201
    assert ApiClient(user).get(f"files/{answer.body['hash']}").status_code == 200


def test_other_content_is_rejected_in_the_general_type(user):
    answer = ApiClient(user).post("files", raw=b"resource {}" * 100, content_type="application/octet-stream")
    assert (answer.status_code, bool(answer.body["message"])) == (400, True)
    assert not File.objects.exists()


def test_the_same_bytes_are_stored_once(user):
    data = data_of(2 * PIECE_BYTES)
    first, second = (stored.store(Actor.of(user), data) for _ in range(2))
    assert (first.created, second.created) == (True, False)
    assert first.file == second.file
    assert FilePiece.objects.count() == 1


def test_a_file_that_cannot_be_read_to_its_end_is_not_stored(user):
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > PIECE_BYTES:
                raise OSError("the disk fails")
            return super().read(size)

    with pytest.raises(OSError, match="the disk fails"):
        stored.store_stream(Actor.of(user), Broken(data_of(5 * PIECE_BYTES)), size=5 * PIECE_BYTES, sha256="a" * 64)
    assert not File.objects.exists()


def test_files_that_were_stored_whole_are_read_whole(user):
    file = stored.store(Actor.of(user), b"x").file
    File.objects.filter(pk=file.pk).update(data=data_of(3 * PIECE_BYTES), size=3 * PIECE_BYTES)
    assert stored.content(file.pk) == data_of(3 * PIECE_BYTES)
