"""What the admin classes of all apps share."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

ModelT = TypeVar("ModelT", bound=Model)


if TYPE_CHECKING:
    Base = admin.ModelAdmin[ModelT]
else:  # Django's class takes no type arguments at run time
    Base = admin.ModelAdmin


class TableAdmin(Base, Generic[ModelT]):
    """Django's ``ModelAdmin`` for rows of one type."""


class ReadOnlyAdmin(TableAdmin[ModelT], Generic[ModelT]):
    """For rows that the machine owns: to look at, never to add, change or delete."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False


def status_chip(state: str) -> SafeString:
    """A status with its colour, as the admin's style sheet draws it."""
    return format_html('<span class="st st-{}">{}</span>', state, state.capitalize())
