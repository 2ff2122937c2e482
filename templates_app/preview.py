"""A preview of a template's variables and parameters, read from its files immediately, without an import job."""

import uuid
from collections.abc import Callable

import msgspec
from cachetools import LRUCache

from coderproj.base.bounded import OverLimit
from provisioning.files import stored
from provisioning.models import File
from templates_app.bounded import POOL
from templates_app.source import MAX_ARCHIVE_BYTES
from templates_app.tasks.preview import PREVIEW, Preview, PreviewProblem

OVER_LIMIT = Preview(problems=(PreviewProblem("The files take too long to read."),))
# Stored archives never change, and neither does what is found in them.
_known: LRUCache[uuid.UUID, Preview | None] = LRUCache(maxsize=256)


def preview_of_file(
    file_id: uuid.UUID, *, user: uuid.UUID, is_gone: Callable[[], bool] | None = None
) -> Preview | None:
    """Return the preview of a stored archive; None for an archive that is too large. Runs at most two queries, none
    when the result is known.

    The files are read for ``user`` in a bounded process, whose errors for a process that is not free are raised.
    """
    if file_id not in _known:
        _known[file_id] = _read(file_id, user, is_gone)
    return _known.get(file_id)


def _read(file_id: uuid.UUID, user: uuid.UUID, is_gone: Callable[[], bool] | None) -> Preview | None:
    size = File.objects.filter(pk=file_id).values_list("size", flat=True).first()
    if size is None or size > MAX_ARCHIVE_BYTES:
        return None
    try:
        return POOL.run(PREVIEW, stored.content(file_id), user=user, is_gone=is_gone)
    except OverLimit:
        return OVER_LIMIT
    except msgspec.ValidationError as error:
        # The import will fail for the same reason.
        return Preview(problems=(PreviewProblem(f"A value is too long or too large: {error}"),))
