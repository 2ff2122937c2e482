"""System checks: of deployments (``manage.py check --deploy``), and of what apps declare."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.module_loading import import_string

from coderproj.base.contributions import KINDS, contribution_paths, declared_by


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


@register(Tags.security, deploy=True)
def sources_of_providers_exist(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Warn about mirrors, certificates and other files of the settings that daemons cannot read."""
    from provisioning.daemon.configuration import engine_settings
    from provisioning.daemon.engines import warnings

    return [
        checks.Warning(f"Providers: {warning}.", hint="Correct the setting or create the file.", id="coderproj.W003")
        for warning in warnings(engine_settings(settings))
    ]


@register()
def contributions_exist(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report contributions of unknown kinds, and paths that do not lead to a list."""
    found: list[CheckMessage] = []
    for config in apps.get_app_configs():
        for kind, path in declared_by(config).items():
            if kind not in KINDS:
                found.append(
                    checks.Error(
                        f"{config.name} contributes the unknown kind {kind!r}.",
                        hint=f"The kinds are {', '.join(sorted(KINDS))}: see coderproj.base.contributions.",
                        id="coderproj.E010",
                    )
                )
            elif problem := _problem_of(path):
                found.append(
                    checks.Error(
                        f"{config.name} contributes {kind} at {path}, {problem}",
                        hint="Correct the path in `contributions` of its AppConfig.",
                        id="coderproj.E011",
                    )
                )
    return found


def _problem_of(path: str) -> str:
    try:
        listed = import_string(path)
    except ImportError as error:
        return f"which cannot be imported: {error}"
    return "" if isinstance(listed, list | tuple) else "which is not a list."


@register()
def job_kinds_are_complete(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report job kinds that are declared wrongly, functions that they name and that do not exist, and kinds that
    daemons without Django would not find."""
    from provisioning.daemon import settings as daemon_settings
    from provisioning.queue.kinds import function, kinds

    try:
        declared = list(kinds())
    except ImportError:
        return []  # E011 reports it
    except ValueError as error:
        return [checks.Error(f"The table of job kinds is wrong: {error}.", id="coderproj.E012")]
    found: list[CheckMessage] = []
    for kind in declared:
        for path in filter(None, (kind.prepare, kind.completed, kind.readme_found, kind.cancelable)):
            try:
                function(path)
            except ImportError as error:
                message = f"The job kind {kind.type} names {path}, which cannot be imported: {error}"
                found.append(checks.Error(message, id="coderproj.E013"))
    paths = contribution_paths("job_kinds")
    if sorted(daemon_settings.JOB_KINDS) != sorted(paths):
        found.append(
            checks.Error(
                f"Apps contribute the job kinds {', '.join(paths)}; daemons without Django know"
                f" {', '.join(daemon_settings.JOB_KINDS)}.",
                hint="Make JOB_KINDS in provisioning/daemon/settings.py the same.",
                id="coderproj.E014",
            )
        )
    return found
