"""Rules for names of templates and versions, and random names for versions without one."""

import re
import secrets

from django.core.exceptions import ValidationError

NAME_LENGTH = 32
NAME_PATTERN = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*", re.ASCII)
VERSION_NAME_LENGTH = 64
VERSION_NAME_PATTERN = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)
VERSION_NAME_RULE = f"1 to {VERSION_NAME_LENGTH} letters, digits, dashes, underscores and dots"
DISPLAY_NAME_PATTERN = re.compile(r"[^ \t\n\r\f](?:[^\n]*[^ \t\n\r\f])?")
DISPLAY_NAME_BYTES = 64
# GET /organizations/{o}/templates/examples is the examples list.
RESERVED = frozenset({"examples"})
# POST /templates/{t}/versions/archive archives versions.
RESERVED_VERSIONS = frozenset({".", "..", "archive"})

ADJECTIVES = """
amber brave bright brisk calm candid clever crisp daring deft eager early fair fleet fond frank gentle glad
golden grand happy hardy honest humble jolly keen kind lively lucid merry mellow neat nimble noble patient
plucky polite proud quick quiet rapid ready serene sharp silent smooth snug solid spry steady stout subtle
sunny swift tidy tender true upbeat vivid warm wise witty zesty
""".split()  # noqa: SIM905 - a list of quoted words reads badly
SURNAMES = """
abel ampere archimedes babbage bell bohr boole borg bose cantor carson cauchy cerf clarke conway copernicus
curie darwin diffie dijkstra dirac edison einstein engelbart euclid euler faraday fermat fermi feynman galileo
gauss goldberg goodall hamilton hawking hertz hopper hypatia jackson johnson kalam kepler knuth lamarr lamport
leavitt liskov lovelace maxwell meitner mendel newton noether pascal perlman ritchie sammet shannon sinoussi
tesla thompson torvalds turing volta wiles wing wright yalow
""".split()  # noqa: SIM905 - a list of quoted words reads badly


def random_name() -> str:
    """Return a random name such as ``brave_noether4``."""
    return f"{secrets.choice(ADJECTIVES)}_{secrets.choice(SURNAMES)}{secrets.randbelow(10)}"


def check_name(value: str) -> None:
    """Accept groups of letters and digits joined by single dashes, at most 32 characters. Raises ValidationError."""
    if not NAME_PATTERN.fullmatch(value) or len(value) > NAME_LENGTH:
        raise ValidationError(f"Must be 1 to {NAME_LENGTH} letters and digits, in groups joined by single dashes.")


def check_template_name(value: str) -> None:
    """Apply ``check_name`` and reject reserved names. Raises ValidationError."""
    check_name(value)
    if value.lower() in RESERVED:
        raise ValidationError(f"The name {value!r} is reserved.")


def check_version_name(value: str) -> None:
    """Accept letters, digits, dashes, underscores and dots, at most 64 characters (ruling 39). Raises ValidationError.

    Names are rejected that a path cannot have as the name of a version.
    """
    if not VERSION_NAME_PATTERN.fullmatch(value) or len(value) > VERSION_NAME_LENGTH:
        raise ValidationError(f"Must be {VERSION_NAME_RULE}.")
    if value in RESERVED_VERSIONS:
        raise ValidationError(f"The name {value!r} cannot be part of a path.")


def check_display_name(value: str) -> None:
    """Accept at most 64 bytes on one line, without spaces at either end. Raises ValidationError."""
    if value and (not DISPLAY_NAME_PATTERN.fullmatch(value) or len(value.encode()) > DISPLAY_NAME_BYTES):
        raise ValidationError(f"Must be at most {DISPLAY_NAME_BYTES} bytes on one line, without spaces at either end.")
