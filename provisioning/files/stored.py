"""Store and find uploaded archives."""

import hashlib
import io
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count
from typing import IO

from django.db import transaction
from django.http import StreamingHttpResponse

from coderproj.base.errors import DomainError, NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.files.archive import zipping
from provisioning.models import PIECE_BYTES, File, FilePiece, ProvisionerJob

TAR = "application/x-tar"
ZIP = "application/zip"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file, and whether this call stored it: False when the author uploaded the same bytes before."""

    file: File
    created: bool


def store(actor: Actor, data: bytes, *, sha256: str = "") -> StoredFile:
    """Store a checked, uncompressed tar. ``sha256`` is its hash in hex if the caller has computed it already."""
    return store_stream(actor, io.BytesIO(data), size=len(data), sha256=sha256 or hashlib.sha256(data).hexdigest())


@transaction.atomic
def store_stream(actor: Actor, stream: IO[bytes], *, size: int, sha256: str) -> StoredFile:
    """Store a checked, uncompressed tar of ``size`` bytes, piece by piece. ``sha256`` is its hash in hex."""
    existing = File.objects.defer("data").filter(hash=sha256, created_by_id=actor.id).first()
    if existing is not None:
        return StoredFile(existing, created=False)
    file, created = File.objects.defer("data").get_or_create(
        hash=sha256,
        created_by_id=actor.id,
        defaults={"data": stream.read(PIECE_BYTES), "size": size, "mimetype": TAR},
    )
    if created:
        for number in count(1):
            piece = stream.read(PIECE_BYTES)
            if not piece:
                break
            FilePiece.objects.create(file=file, number=number, data=piece)
    return StoredFile(file, created)


def find(actor: Actor, file_id: uuid.UUID) -> File:
    """Return a file that the actor may read: their own, or any with the right to every file. Raises NotFound."""
    file = File.objects.defer("data").filter(pk=file_id).first()
    if file is None or not readable(actor, file.created_by_id):
        raise NotFound
    return file


def readable(actor: Actor, author_id: uuid.UUID) -> bool:
    """Return True if the actor may read the files of that author."""
    return allowed(actor, Action.READ, Resource.FILE, owner_id=author_id)


def source_of(actor: Actor, job: ProvisionerJob) -> File | None:
    """Return the job's source archive, or None if it has none that the actor may read."""
    file = job.file
    return file if file is not None and readable(actor, file.created_by_id) else None


def content(file_id: uuid.UUID) -> bytes:
    """Return the stored bytes, a plain tar. Raises File.DoesNotExist."""
    return b"".join(pieces(file_id))


def pieces(file_id: uuid.UUID) -> Iterator[bytes]:
    """Yield the stored bytes in pieces. Raises File.DoesNotExist."""
    data, size = File.objects.values_list("data", "size").get(pk=file_id)
    yield bytes(data)
    if len(data) < size:
        yield from further_pieces(file_id)


def further_pieces(file_id: uuid.UUID) -> Iterator[bytes]:
    """Yield the pieces after the first one."""
    for number in count(1):
        piece = FilePiece.objects.filter(file_id=file_id, number=number).values_list("data", flat=True).first()
        if piece is None:
            return
        yield bytes(piece)


def download(file: File) -> StreamingHttpResponse:
    """Return a response with the stored bytes, which are read piece by piece."""
    # Without a charset: the command line compares the exact text.
    headers = {"Content-Type": file.mimetype, "Content-Length": str(file.size)}
    return StreamingHttpResponse(pieces(file.pk), headers=headers)


def download_zip(file: File) -> StreamingHttpResponse:
    """Return a response with the stored files as a zip file, which is made while it is sent. Raises DomainError for a
    file that is not a tar, which no upload stores."""
    content = zipping.from_tar(pieces(file.pk))
    try:
        first = next(content, b"")
    except tarfile.ReadError:
        raise DomainError("The file is not a tar, so it has no zip file.") from None
    return StreamingHttpResponse(chain([first], content), headers={"Content-Type": ZIP})


def may_upload(actor: Actor) -> bool:
    """Return True for every active user whose key has full scope."""
    return actor.scope == KeyScope.ALL
