"""Typed readers for environment variables. The settings read each variable once, with these functions.

A variable ``NAME`` can also be set as ``NAME_FILE``, the path of a file that contains the value (a mounted secret).
Every reader raises ImproperlyConfigured for an invalid value.
"""

import ipaddress
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = {"1", "true", "yes", "on"}
FALSE_WORDS = {"0", "false", "no", "off", ""}


def text(name: str, default: str = "") -> str:
    """Return the value of ``NAME``, else the content of the file at ``NAME_FILE``, else ``default``."""
    if name in os.environ:
        return os.environ[name]
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return default
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: cannot read {path}: {error.strerror}") from error


def integer(name: str, default: int, *, minimum: int | None = None) -> int:
    """Return a whole number of at least ``minimum``."""
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}: expected a whole number, got {value!r}") from None
    if minimum is not None and number < minimum:
        raise ImproperlyConfigured(f"{name}: expected at least {minimum}, got {number}")
    return number


def boolean(name: str, default: bool) -> bool:
    """Return True for ``1/true/yes/on``, False for ``0/false/no/off`` or an empty value, in any case."""
    value = text(name, "true" if default else "false").strip().lower()
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name}: expected true or false, got {value!r}")


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """Return one of ``choices``."""
    value = text(name, default)
    if value not in choices:
        raise ImproperlyConfigured(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    return value


def words(name: str, default: str = "", *, check: Callable[[list[str]], object] | None = None) -> list[str]:
    """Return the entries of a comma-separated list, without surrounding spaces and empty entries.

    ``check`` raises ValueError for invalid entries.
    """
    found = [word.strip() for word in text(name, default).split(",") if word.strip()]
    try:
        if check is not None:
            check(found)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
    return found


def cpus(name: str) -> frozenset[int]:
    """Return a comma-separated list of CPU numbers; empty by default."""
    try:
        return frozenset(int(word) for word in words(name))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: expected CPU numbers: {error}") from None


def networks(name: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Return a comma-separated list of addresses and networks (``10.0.0.0/8``); an address is a network of one host."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in words(name))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: expected addresses or networks: {error}") from None


def path(name: str, default: Path) -> Path:
    """Return an absolute path."""
    return Path(text(name, str(default))).expanduser().absolute()


def paths(name: str) -> list[Path]:
    """Return a comma-separated list of absolute paths, empty by default."""
    found = [Path(word).expanduser() for word in words(name)]
    for one in found:
        if not one.is_absolute():
            raise ImproperlyConfigured(f"{name}: expected absolute paths, got {str(one)!r}")
    return found


def location(name: str) -> str:
    """Return the path of an existing folder, or an address without a slash at its end; empty by default."""
    value = text(name)
    if value.startswith(("http://", "https://")):
        return value.rstrip("/")
    if value and not (Path(value).is_absolute() and Path(value).is_dir()):
        raise ImproperlyConfigured(f"{name}: expected an http(s):// address or the path of a folder, got {value!r}")
    return value


def origin(name: str) -> str:
    """Return an address without a path, ``https://relay.example.com`` or ``http://10.0.0.5:3479``; empty by default."""
    value = text(name).rstrip("/")
    parts = urlsplit(value)
    try:
        has_host = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port
        has_host = False
    if value and (not has_host or parts.path or parts.query or parts.fragment or "@" in parts.netloc):
        raise ImproperlyConfigured(f"{name}: expected an address such as https://relay.example.com, got {value!r}")
    return value


def hexadecimal(name: str, length: int) -> bytes:
    """Return ``length`` bytes, given as hexadecimal digits; empty by default. The error does not repeat the value."""
    value = text(name)
    try:
        found = bytes.fromhex(value)
    except ValueError:
        found = b"?"
    if found and len(found) != length:
        raise ImproperlyConfigured(f"{name}: expected {2 * length} hexadecimal digits")
    return found


def database(name: str = "DATABASE_URL", default: str = "") -> dict[str, Any]:
    """Return Django's database settings from a ``postgresql://user:password@host:port/name?option=value`` URL.

    Give a socket folder in the query (``?host=/run/postgresql``).
    """
    url = text(name, default)
    parts = urlsplit(url)
    if url and parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name}: only postgresql:// is supported, got {parts.scheme or url!r}")
    options = dict(parse_qsl(parts.query))
    try:
        port = str(options.pop("port", parts.port or ""))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
    return {
        "ENGINE": "coderproj.database",
        "NAME": unquote(parts.path.removeprefix("/")) or "coderproj",
        "USER": unquote(parts.username or options.pop("user", "")),
        "PASSWORD": unquote(parts.password or options.pop("password", "")),
        "HOST": options.pop("host", unquote(parts.hostname or "")),
        "PORT": port,
        "OPTIONS": options,
    }
