"""The starter templates that come with the product: folders with a README and Terraform configuration.

A starter is known by its slug (its folder's name) and by an id made from the slug, the same in every installation.
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
# Ids are UUIDv5 within this namespace: never change it, templates are created from the ids.
ID_NAMESPACE = uuid.UUID("0d0f3f0e-6c55-5a52-9a3c-5f7b1b5c3c1d")
SOURCE_URL = "https://github.com/coderproj/coderproj/tree/main/templates_app/starters"


class StarterError(Exception):
    """A starter's folder breaks the rules of the catalogue; the text names the starter."""

    def __init__(self, slug: str, problem: str) -> None:
        super().__init__(f'starter "{slug}": {problem}')


@dataclass(frozen=True, slots=True)
class Starter:
    """One entry of the catalogue. ``markdown`` is the README below its front matter."""

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
    """All starters by slug. Raises StarterError when one of them is broken."""
    return read_catalogue(FOLDER)


def find(reference: str) -> Starter | None:
    """The starter with a slug or an id, in any spelling of a UUID; None when there is none."""
    try:
        wanted = uuid.UUID(reference)
    except ValueError:
        return next((starter for starter in starters() if starter.slug == reference), None)
    return next((starter for starter in starters() if starter.id == wanted), None)


@cache
def archive(slug: str) -> bytes:
    """The starter's folder as an uncompressed tar, the same bytes for the same files. Raises KeyError."""
    if all(starter.slug != slug for starter in starters()):
        raise KeyError(slug)
    return pack(FOLDER / slug)


def read_catalogue(folder: Path) -> tuple[Starter, ...]:
    """The starters below ``folder``: each visible folder is one. Raises StarterError."""
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._")
    return tuple(_read_starter(folder / name) for name in names)


def pack(folder: Path) -> bytes:
    """A tar of everything below ``folder``: names in lexical order, no entry for the folder itself, no times, no
    owners, folders 0755 and files 0644."""
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
    """Files and folders in walk order, without what Terraform or Python leave behind."""
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
    facts, markdown = _front_matter(slug, text)
    return Starter(
        slug=slug,
        name=_required_text(slug, facts, "name"),
        description=_required_text(slug, facts, "description"),
        icon=_optional_text(slug, facts, "icon"),
        tags=_tags(slug, facts),
        markdown=markdown,
    )


def _front_matter(slug: str, text: str) -> tuple[dict[str, Any], str]:
    """The facts between the two fences at the top, and everything after the closing one's line."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != FENCE:
        raise StarterError(slug, f"{README} does not begin with front matter")
    closing = next((index for index, line in enumerate(lines[1:], 1) if line.strip() == FENCE), None)
    if closing is None:
        raise StarterError(slug, f"the front matter of {README} is not closed")
    try:
        facts = yaml.safe_load("".join(lines[1:closing]))
    except yaml.YAMLError as error:
        raise StarterError(slug, f"the front matter of {README} is not valid YAML: {error}") from error
    if not isinstance(facts, dict):
        raise StarterError(slug, f"the front matter of {README} must map names to values")
    return facts, "".join(lines[closing + 1 :])


def _required_text(slug: str, facts: dict[str, Any], key: str) -> str:
    value = _optional_text(slug, facts, key)
    if not value:
        raise StarterError(slug, f"the front matter of {README} has no {key}")
    return value


def _optional_text(slug: str, facts: dict[str, Any], key: str) -> str:
    value = facts.get(key, "")
    if not isinstance(value, str):
        raise StarterError(slug, f"{key} in the front matter of {README} must be a text")
    return value.strip()


def _tags(slug: str, facts: dict[str, Any]) -> tuple[str, ...]:
    tags = facts.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise StarterError(slug, f"tags in the front matter of {README} must be a list of texts")
    return tuple(tags)
