"""The audit log: who did what, to what, when, and what that changed."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from coderproj.console.forms import ConsoleForm
from coderproj.console.paging import slice_of
from coderproj.console.views import SignedInPage
from coderproj.errors import Invalid, NotFound
from coderproj.identity import audit
from coderproj.identity.filters import reads_audit_log, search_rows
from coderproj.identity.models import AuditAction, AuditLog
from coderproj.identity.pages.events import KINDS, events_of

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
# Filters that the form has no field for: links lead here with them.
HIDDEN = ("resource_id", "resource_target", "email", "status_code")


def _title(resource_type: str) -> str:
    words = KINDS.get(resource_type, resource_type.replace("_", " "))
    return words[:1].upper() + words[1:]


class FilterForm(ConsoleForm):
    """The filters of the API that people use most; all of them work in the address."""

    q = forms.CharField(required=False, label="Search", widget=forms.TextInput({"type": "search"}))
    username = forms.CharField(required=False, label="Who")
    action = forms.ChoiceField(
        required=False, label="Did", choices=[("", "Anything"), *((key.value, name) for key, name in ACTIONS.items())]
    )
    resource_type = forms.ChoiceField(required=False, label="To")
    date_from = forms.CharField(required=False, label="From", widget=forms.TextInput({"type": "date"}))
    date_to = forms.CharField(required=False, label="Until", widget=forms.TextInput({"type": "date"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        types = sorted({policy.resource_type for policy in audit.policies().values()})
        field: Any = self.fields["resource_type"]
        field.choices = [("", "Anything"), *((name, _title(name)) for name in types)]
        self.fields["q"].widget.attrs["placeholder"] = "Name or username"
        self.fields["username"].widget.attrs["placeholder"] = "Username"


class AuditPage(SignedInPage):
    """Rows newest first, for those who may read the audit log of everything or of their organizations. For others the
    page does not exist."""

    section = "audit"

    def prepare(self) -> None:  # type: ignore[override]
        if not reads_audit_log(self.actor):
            raise NotFound

    def get(self, request: HttpRequest) -> HttpResponseBase:
        names = (*FilterForm.base_fields, *HIDDEN)
        given = {name: value for name in names if (value := request.GET.get(name, "").strip())}
        problem = ""
        try:
            rows = search_rows(self.actor, given)
        except Invalid as error:
            rows = AuditLog.objects.none()
            problem = " ".join(f"{found.field}: {found.detail}" for found in error.problems)
        page = slice_of(request, rows, PAGE_SIZE)
        context = {
            "form": FilterForm(initial=given),
            "events": events_of(page.rows),
            "slice": page,
            "problem": problem,
            "filtered": bool(given),
            "everything_url": reverse("audit"),
            "nothing": "Nothing has been recorded yet. Whatever people change will be listed here.",
            "hidden": [(name, given[name]) for name in HIDDEN if name in given],
        }
        return self.show("identity/audit.html", context, part="identity/_events.html")
