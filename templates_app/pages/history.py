"""The audit log of a template and its versions."""

from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from coderproj.accounts.pages.events import events_of
from coderproj.base.errors import NotFound
from coderproj.console.paging import slice_of
from coderproj.identity.filters import visible_rows
from coderproj.identity.models import AuditAction
from templates_app.models import TemplateVersion
from templates_app.pages.addresses import template_url
from templates_app.pages.base import TemplateSection, reads_audit_log

PAGE_SIZE = 30
ACTIONS = (("", "All"), ("create", "Created"), ("write", "Changed"), ("delete", "Deleted"))


class TemplateAudit(TemplateSection):
    """The audit log of the template and its versions, for users who may read the audit log of the organization. Others
    get 404."""

    tab = "audit"

    def prepare(self, **route: str) -> None:
        super().prepare(**route)
        if not reads_audit_log(self.actor, self.template.organization_id):
            raise NotFound

    def get(self, request: HttpRequest, **route: str) -> HttpResponseBase:
        action = request.GET.get("action", "")
        action = action if action in AuditAction.values else ""
        who = request.GET.get("who", "").strip()
        versions = TemplateVersion.objects.filter(template=self.template).annotate(text=Cast("pk", TextField()))
        own = Q(resource_id=str(self.template.pk)) | Q(resource_id__in=versions.values("text"))
        rows = visible_rows(self.actor).filter(own)
        if action:
            rows = rows.filter(action=action)
        if who:
            rows = rows.filter(username__iexact=who)
        found = slice_of(request, rows.order_by("-time", "id"), PAGE_SIZE)
        address = template_url(self.template, "template-audit")
        context = {
            "events": events_of(found.rows),
            "slice": found,
            "actions": ACTIONS,
            "action": action,
            "who": who,
            "address": address,
            "filtered": bool(action or who),
            "everything_url": address,
            "nothing": "No events of this template yet.",
        }
        return self.show("templates_app/audit.html", self.frame("Audit") | context)
