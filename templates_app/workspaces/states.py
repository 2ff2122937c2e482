"""Encrypt, decrypt and find the Terraform states of workspaces.

``STATE_KEYS`` are secrets from which the keys are derived: the first one encrypts, all of them decrypt. So a new first
secret takes effect at once, and ``manage.py workspaces rotate-keys`` encrypts the stored states again.
"""

import base64
import uuid
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db.models import Max, QuerySet

from coderproj.base.errors import DomainError
from templates_app.workspaces.models import BuildState, WorkspaceBuild

PURPOSE = b"coderproj: states of workspaces"


class StateUnreadable(DomainError):
    """None of the keys decrypts a state."""

    status_code = 500
    message = "The state cannot be decrypted."

    def __init__(self) -> None:
        super().__init__(detail="None of the secrets in CODERPROJ_STATE_KEYS encrypted it.")


def encrypt(state: bytes) -> bytes:
    return _cipher(tuple(settings.STATE_KEYS)).encrypt(zlib.compress(state))


def decrypt(encrypted: bytes | memoryview) -> bytes:
    """Raises StateUnreadable."""
    try:
        return zlib.decompress(_cipher(tuple(settings.STATE_KEYS)).decrypt(bytes(encrypted)))
    except InvalidToken:
        raise StateUnreadable from None


def rotate(encrypted: bytes | memoryview) -> bytes:
    """Encrypt again with the first key. Raises StateUnreadable."""
    try:
        return _cipher(tuple(settings.STATE_KEYS)).rotate(bytes(encrypted))
    except InvalidToken:
        raise StateUnreadable from None


@cache
def _cipher(secrets: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(_key(secret)) for secret in secrets])


def _key(secret: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode())
    return base64.urlsafe_b64encode(derived)


def store(build_id: uuid.UUID, state: bytes, *, late_for: int | None = None) -> None:
    """Store the state of a build, replacing an earlier one. ``late_for`` is the number of a newer build that has begun
    without it."""
    row = {"encrypted": encrypt(state), "size": len(state), "late_for": late_for}
    BuildState.objects.update_or_create(build_id=build_id, defaults=row)


def has(build_id: uuid.UUID, state: bytes) -> bool:
    """Return True if this is the stored state of the build."""
    rows = BuildState.objects.filter(build=build_id, size=len(state))
    stored = rows.values_list("encrypted", flat=True).first()
    try:
        return stored is not None and decrypt(stored) == state
    except StateUnreadable:
        return False


def state_of(build: WorkspaceBuild) -> bytes:
    """Return the state of a build: its own, else that of the newest build before it, else none. Raises
    StateUnreadable."""
    found = _rows_of(build).values_list("encrypted", flat=True).first()
    return decrypt(found) if found is not None else b""


def late_ones(workspace_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[int, int]]:
    """Return by workspace the number of the build whose state the next build starts with, and the number of the build
    that this state was late for; without workspaces whose newest state was in time."""
    late = BuildState.objects.filter(build__workspace__in=workspace_ids, late_for__isnull=False)
    rows = late.order_by("build__build_number").values_list("build__workspace_id", "build__build_number", "late_for")
    found = {workspace_id: (number, late_for or 0) for workspace_id, number, late_for in rows}
    newest = BuildState.objects.filter(build__workspace__in=found).values_list("build__workspace_id")
    numbers = dict(newest.annotate(Max("build__build_number"))) if found else {}
    return {workspace_id: one for workspace_id, one in found.items() if numbers[workspace_id] == one[0]}


@dataclass(frozen=True, slots=True)
class StateFacts:
    """What is known of a state without decrypting it: its size in bytes, when it was stored, and by which build."""

    size: int
    stored_at: datetime
    build_number: int


def facts_of(build: WorkspaceBuild) -> StateFacts | None:
    """Return the facts about ``state_of(build)``, None if there is none. One query."""
    found = _rows_of(build).values_list("size", "updated_at", "build__build_number").first()
    return StateFacts(*found) if found is not None else None


def _rows_of(build: WorkspaceBuild) -> "QuerySet[BuildState]":
    """Return the states of a build and of those before it, newest first."""
    rows = BuildState.objects.filter(build__workspace=build.workspace_id, build__build_number__lte=build.build_number)
    return rows.order_by("-build__build_number")
