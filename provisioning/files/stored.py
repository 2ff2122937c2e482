"""Store and find uploaded archives."""

import hashlib
import uuid
from dataclasses import dataclass

from coderproj.base.errors import NotFound
from coderproj.identity.actor import Actor
from coderproj.identity.models import KeyScope
from coderproj.identity.rbac import Action, Resource, allowed
from provisioning.models import File, ProvisionerJob

TAR = "application/x-tar"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file, and whether this call stored it: False when the author uploaded the same bytes before."""

    file: File
    created: bool


def store(actor: Actor, data: bytes, *, sha256: str = "") -> StoredFile:
    """Store a checked, uncompressed tar. ``sha256`` is its hash in hex if the caller has computed it already."""
    file, created = File.objects.defer("data").get_or_create(
        hash=sha256 or hashlib.sha256(data).hexdigest(),
        created_by_id=actor.id,
        defaults={"data": data, "size": len(data), "mimetype": TAR},
    )
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
    return bytes(File.objects.values_list("data", flat=True).get(pk=file_id))


def may_upload(actor: Actor) -> bool:
    """Return True for every active user whose key has full scope."""
    return actor.scope == KeyScope.ALL
