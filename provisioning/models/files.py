"""Uploaded archives."""

import uuid

from django.conf import settings
from django.db import models

# Bytes of a piece of a file.
PIECE_BYTES = 1024 * 1024


class File(models.Model):
    """A template's source as an uncompressed tar. The same bytes uploaded again by the same author are stored once.

    ``data`` is the first piece, of up to ``PIECE_BYTES``; ``FilePiece`` has the others, so that neither a process nor
    the database holds a large file in memory. ``files.stored`` reads and writes them.

    ``hash`` is the SHA-256 in hex. In the upload endpoint's response, the field ``hash`` is the *id*, as the contract
    requires.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    hash = models.CharField(max_length=64, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="files")
    mimetype = models.CharField(max_length=64, default="application/x-tar")
    size = models.PositiveBigIntegerField(editable=False)
    data = models.BinaryField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["hash", "created_by"], name="provisioning_file_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.hash[:12]} ({self.size} bytes)"


class FilePiece(models.Model):
    """A piece of a file after the first one; ``number`` begins at 1."""

    file = models.ForeignKey(File, on_delete=models.CASCADE, related_name="pieces")
    number = models.PositiveIntegerField()
    data = models.BinaryField(editable=False)

    class Meta:
        ordering = ["file", "number"]
        constraints = [models.UniqueConstraint(fields=["file", "number"], name="provisioning_filepiece_unique")]

    def __str__(self) -> str:
        return f"{self.file_id} {self.number}"
