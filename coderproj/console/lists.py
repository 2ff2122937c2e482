"""Lists of pages as tables. A field of a list is declared once, as a ``Column`` of its ``Listing``."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db.models import QuerySet
from django.template import Context
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

RowT = TypeVar("RowT")
QuerySetT = TypeVar("QuerySetT", bound=QuerySet[Any])


@dataclass(frozen=True)
class Column(Generic[RowT]):
    """A field of a list.

    ``cell`` returns the content of a row's cell, which is escaped unless it is marked as safe; or it is the name of a
    template that renders the cell with the row as ``row``. ``fields`` are the model fields that the cell reads.
    ``classes`` are the cell's CSS classes: on phones ``full`` and ``wide`` set its width, and ``not-on-phones`` hides
    it. Phones show ``phone_label`` beside the cell: the heading unless it is set, nothing if it is empty. With
    ``hide_heading`` only screen readers get the heading.
    """

    heading: str
    cell: Callable[[RowT], Any] | str
    fields: tuple[str, ...] = ()
    classes: str = ""
    phone_label: str | None = None
    hide_heading: bool = False

    @property
    def header(self) -> SafeString:
        if self.hide_heading:
            return format_html('<th scope="col"><span class="visually-hidden">{}</span></th>', self.heading)
        right = mark_safe(' class="right"') if "right" in self.classes.split() else ""
        return format_html('<th scope="col"{}>{}</th>', right, self.heading)

    @property
    def cell_tag(self) -> SafeString:
        """The opening tag of the column's cells."""
        default = "" if self.hide_heading else self.heading
        label = default if self.phone_label is None else self.phone_label
        classes = format_html(' class="{}"', self.classes) if self.classes else ""
        return format_html("<td{}{}>", classes, format_html(' data-label="{}"', label) if label else "")


class Listing(Generic[RowT]):
    """The declaration of a list: its columns, and the model fields that ``also`` have to be fetched for its rows."""

    def __init__(self, *columns: Column[RowT], also: tuple[str, ...] = ()) -> None:
        self.columns = columns
        self._also = also

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The model fields to fetch, each once."""
        return tuple(dict.fromkeys([*self._also, *(name for column in self.columns for name in column.fields)]))

    def fetch(self, rows: QuerySetT) -> QuerySetT:
        """Return the queryset limited to these model fields, related ones (``organization__name``) by a join."""
        related = sorted({name.rpartition("__")[0] for name in self.fields if "__" in name})
        rows = rows.select_related(None)
        return (rows.select_related(*related) if related else rows).only(*self.fields)

    def table(self, rows: Sequence[RowT], *, without: Collection[str] = ()) -> "Table[RowT]":
        """Return the rows as a table, without the columns of these headings."""
        return Table(tuple(column for column in self.columns if column.heading not in without), rows)


@dataclass(frozen=True, slots=True)
class Table(Generic[RowT]):
    """Rows with the columns to show, for ``console/_table.html``."""

    columns: Sequence[Column[RowT]]
    rows: Sequence[RowT]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[RowT]:
        return iter(self.rows)

    def body(self, context: Context) -> SafeString:
        """Return the rows as HTML. A template with a loop over rows and cells takes several times as long."""
        cells = [(column.cell_tag, _renderer(column.cell, context)) for column in self.columns]
        return mark_safe(  # noqa: S308 - every cell is escaped
            "".join(
                f"<tr>{''.join(f'{tag}{conditional_escape(render(row))}</td>' for tag, render in cells)}</tr>\n"
                for row in self.rows
            )
        )


def _renderer(cell: Callable[[RowT], Any] | str, context: Context) -> Callable[[RowT], Any]:
    if not isinstance(cell, str):
        return cell
    assert context.template is not None
    template = context.template.engine.get_template(cell)

    def render(row: RowT) -> SafeString:
        with context.push(row=row):
            return template.render(context)

    return render
