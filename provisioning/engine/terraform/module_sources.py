"""Module sources and version constraints in the form of Terraform's module manifest.

Terraform uses an entry of the manifest only if the source has exactly its normalized form, and if the version matches
the constraint.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

# Hosts of version control systems: Terraform treats ``host/a/b/c`` as a repository, not as a registry address.
_VCS_HOSTS = ("github.com", "bitbucket.org", "gitlab.com")
_REGISTRY_ADDRESS = re.compile(
    r"(?:(?P<host>[\w.-]+\.[\w.-]+(?::\d+)?|localhost(?::\d+)?)/)?"
    r"(?P<package>[0-9A-Za-z](?:[\w-]*[0-9A-Za-z])?/[0-9A-Za-z](?:[\w-]*[0-9A-Za-z])?/[0-9a-z]{1,64})",
    re.ASCII,
)
_FORCED = re.compile(r"([A-Za-z0-9]+)::(.+)", re.DOTALL)
_SSH = re.compile(r"([^@\s/:]+)@([^:\s]+):(.+)")

_CONSTRAINT = re.compile(r"\s*(=|!=|>=|<=|>|<|~>|)\s*v?(\d+(?:\.\d+)*)(-[0-9A-Za-z.~-]+)?(?:\+[0-9A-Za-z.~-]+)?\s*")


def is_registry_address(source: str) -> bool:
    """True if a source is a module in a registry (``[HOST/]NAMESPACE/NAME/PROVIDER``)."""
    match = _REGISTRY_ADDRESS.fullmatch(_split_folder(source)[0])
    return match is not None and match["host"] not in _VCS_HOSTS


def normalized_source(source: str, registry: str) -> str:
    """Normalize a remote source: ``a/b/c`` → ``registry.terraform.io/a/b/c``, ``github.com/a/b`` →
    ``git::https://github.com/a/b.git``. ``registry`` is the host of addresses without one."""
    if is_registry_address(source):
        package, folder = _split_folder(source)
        match = _REGISTRY_ADDRESS.fullmatch(package)
        assert match is not None
        return _with_folder(f"{(match['host'] or registry).lower()}/{match['package']}", folder)
    package, folder = _split_folder(source)
    return _with_folder(_package(package), folder)


def _split_folder(source: str) -> tuple[str, str]:
    """Split a source: ``https://host/a.zip//b/c?q`` → ``https://host/a.zip?q`` and ``b/c``."""
    address, mark, query = source.partition("?")
    start = address.find("://") + 3 if "://" in address else 0
    found = address.find("//", start)
    if found < 0:
        return source, ""
    return address[:found] + mark + query, address[found + 2 :].strip("/")


def _with_folder(package: str, folder: str) -> str:
    address, mark, query = package.partition("?")
    return f"{address}//{folder}{mark}{query}" if folder else package


def _package(source: str) -> str:
    """Expand the short forms of a package without a folder."""
    forced = _FORCED.fullmatch(source)
    prefix, rest = (f"{forced[1]}::", forced[2]) if forced else ("", source)
    if urlsplit(rest).scheme:
        return source
    found = _detected(rest)
    if prefix and (own := _FORCED.fullmatch(found)):
        found = own[2]
    return prefix + found


def _detected(source: str) -> str:
    address, mark, query = source.partition("?")
    parts = address.split("/")
    if parts[0] in ("github.com", "bitbucket.org") and len(parts) >= 3:
        name = parts[2] if parts[2].endswith(".git") else f"{parts[2]}.git"
        folder = "/".join(parts[3:])
        return _with_folder(f"git::https://{parts[0]}/{parts[1]}/{name}{mark}{query}", folder)
    if match := _SSH.fullmatch(source):
        return f"git::ssh://{match[1]}@{match[2]}/{match[3]}"
    return source


# ---------------------------------------------------------------------- versions
@dataclass(frozen=True, slots=True, order=True)
class _Version:
    numbers: tuple[int, int, int]
    # Prereleases sort before their release.
    is_release: bool = True
    label: str = ""

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers)) + self.label


def matching_version(constraint: str) -> str:
    """Return a version that matches a constraint (``~> 3.1, != 3.1.0`` → ``3.1.1``); "" if none matches."""
    wanted = []
    candidates = [_Version((0, 0, 0)), _Version((1, 0, 0))]
    for part in constraint.split(","):
        match = _CONSTRAINT.fullmatch(part)
        if match is None:
            return ""
        written = [int(number) for number in match[2].split(".")][:3]
        major, minor, patch = (*written, 0, 0, 0)[:3]
        version = _Version((major, minor, patch), is_release=not match[3], label=match[3] or "")
        wanted.append((match[1] or "=", version, len(written)))
        after = [version.numbers[:place] + (version.numbers[place] + 1,) + (0,) * (2 - place) for place in (2, 1, 0)]
        candidates += [version, _Version(version.numbers), *(_Version((a, b, c)) for a, b, c in after)]
    for candidate in candidates:
        if all(_matches(candidate, *one) for one in wanted):
            return str(candidate)
    return ""


def _matches(version: _Version, operator: str, bound: _Version, written: int) -> bool:
    if not version.is_release and version.numbers != bound.numbers:
        return False
    match operator:
        case "=":
            return version == bound
        case "!=":
            return version != bound
        case ">":
            return version > bound
        case ">=":
            return version >= bound
        case "<":
            return version < bound
        case "<=":
            return version <= bound
    kept = max(1, written - 1)
    return version >= bound and version.numbers[:kept] == bound.numbers[:kept]


def is_valid_constraint(constraint: str) -> bool:
    """True if Terraform accepts a version constraint (``~> 3.1, != 3.1.0``)."""
    return all(_CONSTRAINT.fullmatch(part) for part in constraint.split(","))
