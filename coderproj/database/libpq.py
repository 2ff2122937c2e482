"""Parameters of libpq, for connections without Django's backend. No Django here."""

from collections.abc import Mapping
from typing import Any

# Options of Django's backend that are not libpq's.
DJANGO_OPTIONS = {"assume_role", "isolation_level", "pool", "server_side_binding", "prepare_threshold"}
NAMES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}


def parameters(database: Mapping[str, Any]) -> dict[str, Any]:
    """Return the libpq parameters in an entry of Django's ``DATABASES``."""
    given = {name: database[key] for name, key in NAMES.items() if database.get(key)}
    options: Mapping[str, Any] = database["OPTIONS"]
    return {**given, **{name: value for name, value in options.items() if name not in DJANGO_OPTIONS}}
