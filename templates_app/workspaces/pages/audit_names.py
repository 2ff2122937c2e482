"""Labels and pages of workspaces and builds, for the audit log."""

from django.urls import reverse

from coderproj.accounts.pages.events import AuditNames

LABELS = {
    "autostart_schedule": "automatic start",
    "ttl_ms": "automatic stop after, in ms",
    "deadline": "automatic stop",
}


def workspace_page(id_: str) -> str:
    return reverse("workspace-by-id", args=[id_])


def build_page(id_: str) -> str:
    return reverse("any-workspace-build", args=[id_])


NAMES = [
    AuditNames(
        labels=LABELS,
        addresses={"workspace": workspace_page, "workspace_build": build_page},
        kept=frozenset({"workspace", "workspace_build"}),
    )
]
