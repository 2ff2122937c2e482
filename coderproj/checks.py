"""Deploy checks: ``manage.py check --deploy``."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.module_loading import import_string


@register(Tags.security, deploy=True)
def access_url_is_https(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn when tokens would travel unencrypted."""
    if settings.SECURE:
        return []
    return [
        checks.Warning(
            f"CODERPROJ_ACCESS_URL is {settings.ACCESS_URL}: sessions and tokens travel unencrypted.",
            hint="Put a TLS proxy in front and set CODERPROJ_ACCESS_URL to its https:// address.",
            id="coderproj.W001",
        )
    ]


@register(Tags.security, deploy=True)
def pages_are_protected(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Require security headers, clickjacking and CSRF protection for pages, by Django's middleware or a subclass."""
    installed = [import_string(path) for path in settings.MIDDLEWARE]
    return [
        checks.Error(f"{needed.__name__} is missing from MIDDLEWARE.", id="coderproj.E001")
        for needed in (SecurityMiddleware, XFrameOptionsMiddleware, CsrfViewMiddleware)
        if not any(isinstance(middleware, type) and issubclass(middleware, needed) for middleware in installed)
    ]


@register(Tags.security, deploy=True)
def sandbox_is_on(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn without a sandbox: every user who can push a template runs code on the daemon's machine."""
    from provisioning.engine import sandbox

    if settings.PROVISIONER_SANDBOX != "off" and sandbox.available() is not sandbox.SandboxKind.OFF:
        return []
    return [
        checks.Warning(
            "Templates are evaluated without a sandbox.",
            hint="Use a kernel with Landlock (5.13 or newer) or bubblewrap, and PROVISIONER_SANDBOX=auto.",
            id="coderproj.W002",
        )
    ]
