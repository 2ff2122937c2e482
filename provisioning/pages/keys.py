"""The keys of daemons without database access. A key is shown once, after it is created."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from coderproj.accounts.pages.addresses import organization_url
from coderproj.base.errors import DomainError, NotFound
from coderproj.console import cells
from coderproj.console.forms import ConsoleForm
from coderproj.console.lists import Column, Listing
from coderproj.console.paging import slice_of
from coderproj.console.questions import Question
from coderproj.console.templatetags.console import age, ago, status, until
from coderproj.console.views import SignedInPage
from coderproj.identity.models import Organization
from provisioning import keys
from provisioning.models import ProvisionerKey
from provisioning.pages.daemons import DAEMONS
from provisioning.pages.parts import tags_of

PAGE_SIZE = 50
DAY = 86_400
EVERYWHERE = "all"
KEYS = ("Keys", "/daemons/keys")
SHOWN = {"": "Active", "revoked": "Revoked"}


def read_tags(text: str) -> dict[str, str]:
    """Return the tags in lines of ``key=value``. Raises ValidationError for a line of another form, or a repeated
    key."""
    tags: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not (name and equals and value):
            raise forms.ValidationError(f"{line[:64]!r} is not key=value.")
        if name in tags:
            raise forms.ValidationError(f"{name[:64]!r} is given twice.")
        tags[name] = value
    return tags


class KeyForm(ConsoleForm):
    name = forms.CharField(label="Name", max_length=keys.MAX_NAME, help_text="For example the name of the machine.")
    organization = forms.ChoiceField(
        label="For jobs of", help_text="Daemons with this key get only jobs of this organization."
    )
    tags = forms.CharField(
        label="Tags",
        required=False,
        help_text="One key=value per line. Daemons with this key claim jobs that require these tags; without tags, "
        "jobs that require none.",
        widget=forms.Textarea({"rows": 3, "spellcheck": "false"}),
    )
    lifetime = forms.TypedChoiceField(label="Expires after", coerce=int)

    def __init__(self, organizations: list[Organization], everywhere: bool, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(str(row.pk), row.display_name or row.name) for row in organizations]
        field: Any = self.fields["organization"]
        field.choices = [*choices, *([(EVERYWHERE, "All organizations")] if everywhere else [])]
        longest = settings.TOKEN_MAX_LIFETIME_SECONDS
        lifetime: Any = self.fields["lifetime"]
        lifetime.choices = [
            (0, "Never, until it is revoked"),
            *((days * DAY, f"{days} days") for days in (30, 90, 365) if days * DAY <= longest),
        ]

    def clean_tags(self) -> Mapping[str, str]:
        return read_tags(self.cleaned_data["tags"])


def revocation_of(key: ProvisionerKey) -> Question:
    """Return the question before a key is revoked."""
    used = f"It was last used {age(key.last_used)}." if key.last_used else "It was never used."
    return Question(
        key=f"revoke-{key.pk}",
        url=reverse("revoke-daemon-key", args=[key.pk]),
        action="Revoke",
        title=f"Revoke {key.name}?",
        consequences=(
            (
                "Daemons with this key are rejected from their next request on. "
                "Their running jobs start again on other daemons."
            ),
            used,
        ),
        button=f"Revoke {key.name}",
        back_url=reverse("daemon-keys"),
        back_label="Keep it",
        danger=True,
    )


def _key_entity(key: ProvisionerKey) -> SafeString:
    note = format_html("created {} by {}", ago(key.created_at), key.created_by.username)
    return cells.entity(cells.icon_tile("key-round"), key.name, note)


def _organization_link(key: ProvisionerKey) -> SafeString | str:
    organization = key.organization
    if organization is None:
        return "All organizations"
    name = organization.display_name or organization.name
    return format_html('<a href="{}">{}</a>', organization_url(organization), name)


def _end(key: ProvisionerKey) -> SafeString | str:
    if key.expires_at is None:
        return cells.muted("never")
    return status("expired", chip=True) if key.expires_at <= datetime.now(UTC) else until(key.expires_at)


def _revocation_button(key: ProvisionerKey) -> SafeString:
    label = format_html('Revoke<span class="visually-hidden"> {}</span>', key.name)
    return cells.dialog_button(revocation_of(key), label)


KEY_COLUMNS: tuple[Column[ProvisionerKey], ...] = (
    Column("Key", _key_entity, ("name", "created_at", "created_by__username"), "full", phone_label=""),
    Column("For jobs of", _organization_link, ("organization__name", "organization__display_name")),
    Column("Tags", lambda key: cells.tags(tags_of(key.tags)), ("tags",), "wide"),
    Column("Last used", lambda key: cells.ago_or_never(key.last_used), ("last_used",), "number"),
)
ACTIVE_KEYS = Listing[ProvisionerKey](
    *KEY_COLUMNS,
    Column("Expires", _end, ("expires_at",), "number"),
    Column("Revoke", _revocation_button, ("name", "last_used"), "right", hide_heading=True),
)
REVOKED_KEYS = Listing[ProvisionerKey](
    *KEY_COLUMNS, Column("Revoked", lambda key: ago(key.revoked_at), ("revoked_at",), "number")
)


class KeySection(SignedInPage):
    """Pages for users who may manage the keys of at least one organization; other users get 404."""

    section = "daemons"

    def prepare(self, **route: Any) -> None:
        if not keys.may_manage_keys(self.actor):
            raise NotFound


class DaemonKeys(KeySection):
    """The keys of organizations in which the actor may create keys; for owners also those for all organizations."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        show = request.GET.get("show", "")
        show = show if show in SHOWN else ""
        revoked = show == "revoked"
        listing = REVOKED_KEYS if revoked else ACTIVE_KEYS
        found = keys.visible_keys(self.actor).filter(revoked_at__isnull=not revoked)
        page = slice_of(request, listing.fetch(found).order_by("name", "id"), PAGE_SIZE)
        context = {
            "keys": listing.table(page.rows),
            "revocations": [] if revoked else [revocation_of(key) for key in page.rows],
            "slice": page,
            "show": show,
            "tabs": SHOWN.items(),
            "trail": [DAEMONS, ("Keys", "")],
        }
        return self.show("provisioning/daemon_keys.html", context)


class NewDaemonKey(KeySection):
    """Creates a key."""

    def prepare(self, **route: Any) -> None:
        super().prepare()
        self.organizations = list(keys.organizations_with_keys(self.actor).order_by("-is_default", "name"))
        self.everywhere = keys.may_manage_global_keys(self.actor)

    def get(self, request: HttpRequest) -> HttpResponseBase:
        return self._page(KeyForm(self.organizations, self.everywhere))

    def post(self, request: HttpRequest) -> HttpResponseBase:
        form = KeyForm(self.organizations, self.everywhere, request.POST)
        if not form.is_valid():
            return self._page(form)
        given = form.cleaned_data
        organization = next((row for row in self.organizations if str(row.pk) == given["organization"]), None)
        try:
            key, secret = keys.create(
                self.actor,
                organization,
                name=given["name"],
                tags=given["tags"],
                lifetime_seconds=given["lifetime"],
            )
        except DomainError as error:
            form.show_error(error)
            return self._page(form, status=error.status_code)
        response = self._page(form, secret=secret, tags=tags_of(key.tags))
        response["Cache-Control"] = "no-store"
        return response

    def _page(self, form: KeyForm, *, status: int = 200, **made: Any) -> HttpResponseBase:
        context = {"form": form, "url": settings.ACCESS_URL, "trail": [DAEMONS, KEYS, ("New key", "")], **made}
        return self.show("provisioning/new_daemon_key.html", context, status=status)


class RevokeDaemonKey(KeySection):
    """Asks for confirmation, and revokes a key."""

    key: ProvisionerKey

    def prepare(self, **route: Any) -> None:
        super().prepare()
        key_id: uuid.UUID = route["key"]
        found = keys.visible_keys(self.actor).filter(pk=key_id, revoked_at=None).first()
        if found is None:
            raise NotFound
        self.key = found

    def get(self, request: HttpRequest, key: uuid.UUID) -> HttpResponseBase:
        trail = [DAEMONS, KEYS, ("Revoke", "")]
        return self.show("console/question.html", {"question": revocation_of(self.key), "trail": trail})

    def post(self, request: HttpRequest, key: uuid.UUID) -> HttpResponseBase:
        keys.revoke_key(self.actor, self.key)
        return self.go(reverse("daemon-keys"), f"{self.key.name} is revoked.")
