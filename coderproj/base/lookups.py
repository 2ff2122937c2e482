"""Lookups that Django lacks."""

from collections.abc import Iterable
from typing import Any

from django.db.models import ForeignKey, Lookup, UUIDField
from django.db.models.sql.compiler import SQLCompiler


@ForeignKey.register_lookup
@UUIDField.register_lookup
class AnyOf(Lookup):
    """``id__any=ids``: ``id = ANY(array)``. The ids are one parameter, so one prepared statement serves any number of
    ids; ``__in`` creates a statement for each number."""

    lookup_name = "any"
    prepare_rhs = False

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        ids: Iterable[Any] = self.rhs
        return f"{column} = ANY(%s::uuid[])", (*parameters, list(ids))
