"""Base classes and functions for the admin classes of all apps."""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.base.errors import DomainError
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.authentication import client_of
from coderproj.identity.models import AuditAction, User
from coderproj.identity.roles import SiteRole

# The attribute of a request that caches the actor.
ACTOR = "_admin_actor"
ModelT = TypeVar("ModelT", bound=Model)


if TYPE_CHECKING:

    class Base(admin.ModelAdmin[ModelT]): ...
else:  # Django's class takes no type arguments at run time

    class Base(admin.ModelAdmin, Generic[ModelT]): ...


# The ends of the lookups that Django's own filters put into an address.
FILTER_LOOKUPS = re.compile(r"(?:__(?:id|pk|exact|isnull|in|year|month|day|gte|lt))*")


class TableAdmin(Base[ModelT]):
    """Django's ``ModelAdmin`` for rows of one type. Changes made by its forms are in our audit log as well.

    The admin shows no more than the API does to the same user: ``visible`` returns the rows, ``fields`` names the
    fields, and ``owner_fields`` those that only owners see. Lists, searches and filters of the address follow them: a
    filter by a field that is not shown would reveal its values. Actions name ``permissions=["act"]``: only owners see
    and run them.
    """

    list_per_page = 50
    # Counting all rows of a long table takes longer than the list.
    show_full_result_count = False
    owner_fields: ClassVar[frozenset[str]] = frozenset()

    def visible(self, actor: Actor) -> "QuerySet[ModelT]":
        """Return the rows that the API shows to the actor."""
        # Not an abstract method: the metaclass of ``ModelAdmin`` is not ABCMeta. Each table's admin defines it.
        raise NotImplementedError

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ModelT]":
        rows = self.visible(actor_of(request))
        ordering = self.get_ordering(request)
        return rows.order_by(*ordering) if ordering else rows

    def get_fields(self, request: HttpRequest, obj: ModelT | None = None) -> list[Any]:
        return self._shown(request, self.fields or ())

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return self._shown(request, self.list_display)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return self._shown(request, self.list_filter)

    def get_search_fields(self, request: HttpRequest) -> list[Any]:
        return self._shown(request, self.search_fields)

    def _shown(self, request: HttpRequest, names: Iterable[Any]) -> list[Any]:
        if actor_of(request).site_roles & {SiteRole.OWNER}:
            return list(names)
        return [name for name in names if name not in self.owner_fields]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the lookups of the declared filters only. Django allows every field of the model, shown or not."""
        declared = [self.date_hierarchy or "pk", *map(_parameter_of, self.get_list_filter(request))]
        return any(lookup.startswith(name) and FILTER_LOOKUPS.fullmatch(lookup, len(name)) for name in declared)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except DomainError as error:  # such as a row that was deleted in the meantime
            self.message_user(request, error.message, messages.ERROR)
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def has_act_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_superuser

    def audited_object(self, obj: ModelT) -> Model:
        """Return the object whose audit row records a change of this row: the row itself, or its parent."""
        return obj

    def save_model(self, request: HttpRequest, obj: ModelT, form: Any, change: bool) -> None:
        whole = self.audited_object(obj)
        if type(whole) not in audit.policies():
            super().save_model(request, obj, form, change)
            return
        before: Model | None = whole
        if whole is obj:
            before = self.get_queryset(request).get(pk=obj.pk) if change else None
        with audit.record(actor_of(request), AuditAction.WRITE if before else AuditAction.CREATE, before) as entry:
            super().save_model(request, obj, form, change)
            entry.after = whole

    def delete_model(self, request: HttpRequest, obj: ModelT) -> None:
        whole = self.audited_object(obj)
        if type(whole) not in audit.policies():
            super().delete_model(request, obj)
            return
        action = AuditAction.DELETE if whole is obj else AuditAction.WRITE
        with audit.record(actor_of(request), action, whole) as entry:
            key = obj.pk
            super().delete_model(request, obj)
            obj.pk = key  # Django clears it; the audit entry needs it
            entry.after = None if whole is obj else whole

    def delete_queryset(self, request: HttpRequest, queryset: "QuerySet[ModelT]") -> None:
        for row in queryset:
            self.delete_model(request, row)

    def act(
        self, request: HttpRequest, rows: Iterable[ModelT], service: Callable[[Actor, ModelT], Any], done: str
    ) -> None:
        """Run a service for each row; the service checks permissions. Show for how many rows it was ``done``
        (``{count}``), and the errors of the others."""
        actor = actor_of(request)
        count = 0
        for row in rows:
            try:
                service(actor, row)
            except DomainError as error:
                self.message_user(request, f"{row}: {error.message}", messages.ERROR)
            else:
                count += 1
                self.log_change(request, row, done.format(count=1))
        if count:
            self.message_user(request, done.format(count=count), messages.SUCCESS)


class ReadOnlyAdmin(TableAdmin[ModelT], Generic[ModelT]):
    """For rows that only the server writes. They can be viewed, not added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False


def _parameter_of(entry: Any) -> str:
    """Return the parameter of a filter in the address."""
    return entry if isinstance(entry, str) else entry.parameter_name


def actor_of(request: HttpRequest) -> Actor:
    """Return the signed-in user of the admin as an actor for services. Loaded once a request."""
    user = request.user
    if not hasattr(request, ACTOR):
        assert isinstance(user, User)
        setattr(request, ACTOR, Actor.of(user, client=client_of(request)))
    actor: Actor = getattr(request, ACTOR)
    return actor


def status_chip(state: str) -> SafeString:
    """Return a status with its colour, as the admin's style sheet draws it."""
    return format_html('<span class="st st-{}">{}</span>', state, state.capitalize())


class ChoiceFilter(admin.SimpleListFilter):
    """A filter with fixed choices. ``options`` maps a choice to its label and to a function that filters the rows."""

    options: dict[str, tuple[str, Callable[[Any], Any]]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, label) for key, (label, _) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        chosen = self.options.get(self.value() or "")
        found: QuerySet[Any] = chosen[1](queryset) if chosen else queryset
        return found
