"""The audit log: actor, action, object, time and changes."""

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from coderproj.accounts.pages.events import KINDS, events_of
from coderproj.base.errors import Invalid, NotFound
from coderproj.console.forms import FiltersForm
from coderproj.console.paging import slice_of
from coderproj.console.views import SignedInPage
from coderproj.identity import audit
from coderproj.identity.filters import reads_audit_log, search_rows
from coderproj.identity.models import AuditAction, AuditLog

PAGE_SIZE = 30
ACTIONS = {
    AuditAction.CREATE: "Created",
    AuditAction.WRITE: "Changed",
    AuditAction.DELETE: "Deleted",
    AuditAction.LOGIN: "Signed in",
    AuditAction.LOGOUT: "Signed out",
    AuditAction.START: "Started",
    AuditAction.STOP: "Stopped",
}
# Filters without a field in the form; links use them.
HIDDEN = ("resource_id", "resource_target", "email", "status_code")
# The ID of the list's heading, the target of links.
HEADING = "list-heading"


def _title(resource_type: str) -> str:
    words = KINDS.get(resource_type, resource_type.replace("_", " "))
    return words[:1].upper() + words[1:]


def _types() -> list[tuple[str, str]]:
    """Return the audited types as choices. Read on use, when all apps have declared them."""
    types = sorted({policy.resource_type for policy in audit.policies().values()})
    return [("", "Anything"), *((name, _title(name)) for name in types)]


class FilterForm(FiltersForm):
    """The most used filters of the API."""

    q = forms.CharField(
        required=False, label="Search", widget=forms.TextInput({"type": "search", "placeholder": "Name or username"})
    )
    username = forms.CharField(required=False, label="User", widget=forms.TextInput({"placeholder": "Username"}))
    action = forms.ChoiceField(
        required=False,
        label="Action",
        choices=[("", "Anything"), *((key.value, name) for key, name in ACTIONS.items())],
    )
    resource_type = forms.ChoiceField(required=False, label="Object", choices=_types)
    date_from = forms.CharField(required=False, label="From", widget=forms.TextInput({"type": "date"}))
    date_to = forms.CharField(required=False, label="To", widget=forms.TextInput({"type": "date"}))


class AuditPage(SignedInPage):
    """Events, newest first, for users who may read the audit log of the deployment or of their organizations. Others
    get 404."""

    section = "audit"

    def prepare(self) -> None:  # type: ignore[override]
        if not reads_audit_log(self.actor):
            raise NotFound

    def get(self, request: HttpRequest) -> HttpResponseBase:
        names = (*FilterForm.base_fields, *HIDDEN)
        given = {name: value for name in names if (value := request.GET.get(name, "").strip())}
        form = FilterForm(given)
        try:
            rows = search_rows(self.actor, given)
        except Invalid as error:
            if self.wants_part:
                return self.show_all(HEADING)
            rows = AuditLog.objects.none()
            form.show_error(error)
        page = slice_of(request, rows, PAGE_SIZE)
        context = {
            "form": form,
            "hidden": form.hidden,
            "events": events_of(page.rows),
            "slice": page,
            "filtered": bool(given),
            "everything_url": reverse("audit"),
            "nothing": "No events yet. Changes by users will be listed here.",
        }
        return self.show("accounts/audit.html", context, part="accounts/_events.html")
