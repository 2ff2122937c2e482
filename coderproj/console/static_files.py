"""Static files. Collected files have a content hash in their names and are stored compressed."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import brotli
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.management import call_command
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

# No page uses these.
IGNORED = (
    *("*.txt", "*.md", "LICENSE*", "rest_framework", "redoc", "ext"),
    *("django-htmx.js", "htmx-2.js", "htm*-4*", "swagger-ui-es-*", "swagger-ui.js*", "swagger-ui-standalone-*"),
)
# One step below the maximum, which makes the start several times slower to save 5 % of the size.
BROTLI_QUALITY = 9
MARK = "sources.sha256"


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    """``manage.py up`` collects into the data folder. Without collected files (tests, a server started alone),
    files keep their names and are served from their source folders."""

    def read_manifest(self) -> str | None:
        return super().read_manifest() if settings.STATIC_ROOT else None

    def url(self, name: str | None, force: bool = False) -> str:
        if self.hashed_files:
            return self._hashed_url(name, force)
        return StaticFilesStorage.url(self, name)

    @functools.cache  # noqa: B019 - one storage; a page uses the icon sprite hundreds of times
    def _hashed_url(self, name: str | None, force: bool) -> str:
        url: str = super().url(name, force)
        return url

    def create_compressor(self, **options: Any) -> Compressor:
        return QuickCompressor(**options)


class QuickCompressor(Compressor):
    """Brotli only. Every browser that supports our style sheets supports it; other clients get the plain file."""

    SKIP_COMPRESS_EXTENSIONS = (*Compressor.SKIP_COMPRESS_EXTENSIONS, "map")

    def __init__(self, extensions: Any = None, **options: Any) -> None:
        super().__init__(extensions or self.SKIP_COMPRESS_EXTENSIONS, **options | {"use_gzip": False})

    @staticmethod
    def compress_brotli(data: bytes) -> bytes:
        compressed: bytes = brotli.compress(data, quality=BROTLI_QUALITY)
        return compressed


def collect(folder: Path) -> bool:
    """Collect the static files into a folder, unless it is up to date. Return True if they were collected."""
    settings.STATIC_ROOT = str(folder)
    mark = folder / MARK
    current = _fingerprint()
    if mark.exists() and mark.read_text(encoding="ascii") == current:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=list(IGNORED))
    mark.write_text(current, encoding="ascii")
    return True


def _fingerprint() -> str:
    """Return a digest of the paths, sizes and modification times of all static files."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in sorted(finder.list(list(IGNORED)), key=lambda found: found[0]):
            facts = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()
