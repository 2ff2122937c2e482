"""The bundled starter templates: folders with a README and Terraform configuration.

A starter has a slug (its folder's name) and an id derived from the slug, the same in every installation.
"""

import io
import tarfile
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
README = "README.md"
FENCE = "---"
# Ids are UUIDv5 within this namespace. Never change it: clients create templates by these ids.
ID_NAMESPACE = uuid.UUID("0d0f3f0e-6c55-5a52-9a3c-5f7b1b5c3c1d")
SOURCE_URL = "https://github.com/coderproj/coderproj/tree/main/templates_app/starters"


class StarterError(Exception):
    """A starter's folder is invalid; the message names the starter."""

    def __init__(self, slug: str, problem: str) -> None:
        super().__init__(f'starter "{slug}": {problem}')


@dataclass(frozen=True, slots=True)
class Starter:
    """One entry of the catalogue. ``markdown`` is the README without its front matter."""

    slug: str
    name: str
    description: str
    icon: str
    tags: tuple[str, ...]
    markdown: str

    @property
    def id(self) -> uuid.UUID:
        return uuid.uuid5(ID_NAMESPACE, self.slug)

    @property
    def url(self) -> str:
        return f"{SOURCE_URL}/{self.slug}"


@cache
def starters() -> tuple[Starter, ...]:
    """Return all starters, sorted by slug. Raises StarterError when one of them is invalid."""
    return read_catalogue(FOLDER)


def find(reference: str) -> Starter | None:
    """Return the starter with this slug or id (a UUID in any notation); None if there is none."""
    try:
        wanted = uuid.UUID(reference)
    except ValueError:
        return next((starter for starter in starters() if starter.slug == reference), None)
    return next((starter for starter in starters() if starter.id == wanted), None)


@cache
def archive(slug: str) -> bytes:
    """Return the starter's folder as an uncompressed tar, deterministic for the same files. Raises KeyError."""
    if all(starter.slug != slug for starter in starters()):
        raise KeyError(slug)
    return pack(FOLDER / slug)


def read_catalogue(folder: Path) -> tuple[Starter, ...]:
    """Read the starters in ``folder``, one per visible subfolder. Raises StarterError."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
    return tuple(_read_starter(folder / name) for name in names)


def pack(folder: Path) -> bytes:
    """Pack everything below ``folder`` into a tar: sorted by name, without an entry for the folder itself, times or
    owners; folders have mode 0755 and files 0644."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in _walk(folder):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            if path.is_dir():
                member.type = tarfile.DIRTYPE
                member.mode = 0o755
                tar.addfile(member)
            else:
                data = path.read_bytes()
                member.mode = 0o644
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def _walk(folder: Path) -> list[Path]:
    """Return files and folders in walk order, without hidden files, links and Python caches."""
    found: list[Path] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.is_symlink() or path.name.startswith(".") or path.name == "__pycache__":
            continue
        found.append(path)
        if path.is_dir():
            found += _walk(path)
    return found


def _read_starter(folder: Path) -> Starter:
    slug = folder.name
    try:
        text = (folder / README).read_text(encoding="utf-8")
    except OSError as error:
        raise StarterError(slug, f"{README} cannot be read") from error
    except UnicodeDecodeError as error:
        raise StarterError(slug, f"{README} is not valid UTF-8") from error
    fields, markdown = _front_matter(slug, text)
    return Starter(
        slug=slug,
        name=_required_text(slug, fields, "name"),
        description=_required_text(slug, fields, "description"),
        icon=_optional_text(slug, fields, "icon"),
        tags=_tags(slug, fields),
        markdown=markdown,
    )


def _front_matter(slug: str, text: str) -> tuple[dict[str, Any], str]:
    """Return the fields between the two fences at the top, and the text after the closing fence."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != FENCE:
        raise StarterError(slug, f"{README} does not start with front matter")
    closing = next((index for index, line in enumerate(lines[1:], 1) if line.strip() == FENCE), None)
    if closing is None:
        raise StarterError(slug, f"the front matter of {README} is not closed")
    try:
        fields = yaml.safe_load("".join(lines[1:closing]))
    except yaml.YAMLError as error:
        raise StarterError(slug, f"the front matter of {README} is not valid YAML: {error}") from error
    if not isinstance(fields, dict):
        raise StarterError(slug, f"the front matter of {README} must be a mapping of names to values")
    return fields, "".join(lines[closing + 1 :])


def _required_text(slug: str, fields: dict[str, Any], key: str) -> str:
    value = _optional_text(slug, fields, key)
    if not value:
        raise StarterError(slug, f"the front matter of {README} has no {key}")
    return value


def _optional_text(slug: str, fields: dict[str, Any], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise StarterError(slug, f"{key} in the front matter of {README} must be a string")
    return value.strip()


def _tags(slug: str, fields: dict[str, Any]) -> tuple[str, ...]:
    tags = fields.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise StarterError(slug, f"tags in the front matter of {README} must be a list of strings")
    return tuple(tags)
