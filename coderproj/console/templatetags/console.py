"""Small pieces of pages: icons, statuses, times, durations."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django import template
from django.db.models import Model
from django.template import Context
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from coderproj.console.lists import Table
from coderproj.identity.rbac import may_enter_admin

register = template.Library()

DASH = "\N{EN DASH}"
SENTENCE_ENDS = (".", "!", "?", "\N{HORIZONTAL ELLIPSIS}", ":")
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# The units of ``ago``, longest first.
AGES = ((365 * DAY, "y"), (30 * DAY, "mo"), (DAY, "d"), (HOUR, "h"), (MINUTE, "m"))

# The look of a status: CSS class, icon, label.
STATUSES = {
    "pending": ("pending", "clock", "Pending"),
    "running": ("running", "loader-circle", "Running"),
    "canceling": ("pending", "loader-circle", "Canceling"),
    "succeeded": ("succeeded", "circle-check", "Succeeded"),
    "failed": ("failed", "circle-x", "Failed"),
    "canceled": ("canceled", "ban", "Canceled"),
    "waiting": ("idle", "circle-dashed", "Not started"),
    "skipped": ("idle", "circle-dashed", "Skipped"),
    "online": ("online", "circle-check", "Online"),
    "idle": ("online", "circle-check", "Idle"),
    "busy": ("running", "loader-circle", "Busy"),
    "stale": ("stale", "triangle-alert", "Not seen"),
    "stopped": ("idle", "circle-dashed", "Stopped"),
    "up": ("online", "circle-check", "Running"),
    "starting": ("running", "loader-circle", "Starting"),
    "stopping": ("running", "loader-circle", "Stopping"),
    "deleting": ("running", "loader-circle", "Deleting"),
    "deleted": ("canceled", "trash-2", "Deleted"),
    "connecting": ("pending", "loader-circle", "Connecting"),
    "connected": ("online", "circle-check", "Connected"),
    "disconnected": ("failed", "circle-x", "Disconnected"),
    "timeout": ("failed", "triangle-alert", "Timed out"),
    "created": ("idle", "circle-dashed", "Not started"),
    "ready": ("online", "circle-check", "Ready"),
    "start_timeout": ("stale", "triangle-alert", "Starting slowly"),
    "start_error": ("failed", "circle-x", "Startup failed"),
    "disabled": ("idle", "circle-dashed", "No health check"),
    "initializing": ("pending", "clock", "Checking"),
    "healthy": ("online", "circle-check", "Healthy"),
    "unhealthy": ("failed", "circle-x", "Unhealthy"),
    "active": ("succeeded", "circle-check", "Active"),
    "suspended": ("failed", "ban", "Suspended"),
    "revoked": ("canceled", "ban", "Revoked"),
    "expired": ("canceled", "clock", "Expired"),
}

# Words in the address of a template's icon, with CSS class and symbol. Icons are never fetched.
BRANDS: dict[str, tuple[str, str]] = {
    word: (name, symbol)
    for words, name, symbol in (
        ("docker", "docker", "brand-docker"),
        ("podman", "podman", "brand-podman"),
        ("k8s kubernetes", "kubernetes", "brand-kubernetes"),
        ("gcp google", "google-cloud", "brand-google-cloud"),
        ("do digitalocean", "digitalocean", "brand-digitalocean"),
        ("nvidia gpu", "nvidia", "brand-nvidia"),
        ("hetzner", "hetzner", "brand-hetzner"),
        ("proxmox", "proxmox", "brand-proxmox"),
        ("terraform", "terraform", "brand-terraform"),
        ("aws", "aws", "cloud"),
        ("azure", "azure", "cloud"),
    )
    for word in words.split()
}
UNKNOWN_BRAND = ("none", "box")


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """Return a symbol of the sprite. It is decoration: the text must carry its meaning as well."""
    return _icon(name, classes, static("console/icons.svg"))


@lru_cache(maxsize=256)
def _icon(name: str, classes: str, sprite: str) -> SafeString:
    return format_html('<svg class="icon {}" aria-hidden="true"><use href="{}#{}"/></svg>', classes, sprite, name)


@register.simple_tag
def status(state: str, label: str = "", *, chip: bool = False, bare: bool = False) -> SafeString:
    """Icon, label and colour of a state; ``chip`` adds a background, ``bare`` shows the label to screen readers
    only."""
    return _status(state, label, chip, bare, static("console/icons.svg"))


@lru_cache(maxsize=256, typed=True)  # safe and unsafe strings are different keys
def _status(state: str, label: str, chip: bool, bare: bool, sprite: str) -> SafeString:
    kind, symbol, word = STATUSES.get(state, ("idle", "circle-dashed", state.replace("_", " ").capitalize()))
    word = label or word
    text = format_html('<span class="visually-hidden">{}</span>', word) if bare else word
    picture = _icon(symbol, "", sprite)
    return format_html('<span class="status is-{}{}">{}{}</span>', kind, " chip" if chip else "", picture, text)


@register.simple_tag
def tile(address: str, *, large: bool = False) -> SafeString:
    """Return the picture of a template, by the name in the address of its icon."""
    return _tile(_brand_of(address), large, static("console/icons.svg"))


@lru_cache(maxsize=256)
def _tile(brand: str, large: bool, sprite: str) -> SafeString:
    kind, name = BRANDS.get(brand, UNKNOWN_BRAND)
    size = " large" if large else ""
    return format_html('<span class="tile{} brand-{}">{}</span>', size, kind, _icon(name, "", sprite))


@register.simple_tag
def symbol(address: str) -> SafeString:
    """Return the symbol for the address of an icon, within a line. Empty if it is unknown."""
    key = _brand_of(address)
    return icon(BRANDS[key][1]) if key else SafeString()


@lru_cache(maxsize=256)
def _brand_of(address: str) -> str:
    """Return the word of BRANDS in the file name of an icon's address, or an empty string."""
    try:
        name = urlsplit(address).path.rpartition("/")[2].partition(".")[0].lower()
    except ValueError:  # not an address
        return ""
    return next((word for word in name.replace("_", "-").split("-") if word in BRANDS), "")


@register.simple_tag(takes_context=True)
def admin_link(context: Mapping[str, Any], row: Model) -> SafeString:
    """Return a button to a row's page in the admin, for users who may use the admin."""
    actor = context.get("actor")
    if not actor or not may_enter_admin(actor):
        return SafeString()
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a class="button" href="{}">{}In the admin</a>', url, icon("settings-2"))


@register.simple_tag(takes_context=True)
def table_body(context: Context, table: Table[Any]) -> SafeString:
    """Return the rows of a list's table."""
    return table.body(context)


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """Return the age of a moment, with the exact time on hover."""
    if moment is None:
        return DASH
    # Digits and constant letters only: nothing to escape.
    return mark_safe(  # noqa: S308
        f'<time datetime="{moment.isoformat()}" title="{moment:%Y-%m-%d %H:%M:%S} UTC">{age(moment)}</time>'
    )


def age(moment: datetime) -> str:
    """``12m ago``."""
    seconds = max((timezone.now() - moment).total_seconds(), 0)
    for length, unit in AGES:
        if seconds >= length:
            return f"{int(seconds // length)}{unit} ago"
    return f"{int(seconds)}s ago"


@register.filter
def until(moment: datetime | None) -> SafeString | str:
    """Return the time until a moment, ``in 29d``, with the exact time on hover. A dash for None."""
    if moment is None:
        return DASH
    seconds = max((moment - timezone.now()).total_seconds(), 0)
    length, unit = next((entry for entry in AGES if seconds >= entry[0]), (1, "s"))
    return format_html(
        '<time datetime="{}" title="{}">in {}{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        int(seconds // length),
        unit,
    )


@register.filter
def duration(seconds: Any) -> str:
    """Return a duration, given in seconds: ``850 ms``, ``8.5 s``, ``42 s``, ``1m 18s``, ``2h 05m``."""
    if seconds is None or seconds == "":
        return DASH
    value = max(float(seconds), 0)
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s"
    if value < MINUTE - 0.5:
        return f"{value:.0f} s"
    whole = round(value)
    if whole < HOUR:
        return f"{whole // MINUTE}m {whole % MINUTE:02d}s"
    return f"{whole // HOUR}h {whole % HOUR // MINUTE:02d}m"


@register.filter
def initials(name: str) -> str:
    """Return two letters of a name for an avatar."""
    return str(name)[:2].upper()


@register.filter
def short_id(identifier: object) -> str:
    """Return the first eight characters of a UUID."""
    return str(identifier)[:8]


@register.filter
def sentence(text: str) -> str:
    """Return the text with a full stop, unless it ends with punctuation."""
    return text if text.rstrip().endswith(SENTENCE_ENDS) else f"{text.rstrip()}."


@register.filter
def dash(value: Any) -> Any:
    """Replace None and the empty string with a dash."""
    return DASH if value is None or value == "" else value
