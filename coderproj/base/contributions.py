"""Contributions of installed apps to the shared parts: navigation, search, web server and so on.

An app declares its contributions in its ``AppConfig``, as dotted paths to lists::

    class TemplatesConfig(AppConfig):
        contributions = {"navigation": "templates_app.pages.navigation.ENTRIES"}

The part that needs them calls ``contributions("navigation")``. The modules are imported at the first such call, so a
daemon or a command that shows no page imports none. System checks report unknown kinds and paths that do not exist.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.apps import AppConfig, apps
from django.utils.module_loading import import_string

# The kinds of contributions, with the class or the signature of an entry.
KINDS = {
    "agent_traffic": "(agent ids) -> Mapping[uuid.UUID, templates_app.workspaces.pages.agents.Traffic]",
    "audit_names": "coderproj.accounts.pages.events.AuditNames",
    "audit_policies": "coderproj.identity.audit.Policy",
    "caller_sources": "coderproj.web.callers.CallerSource",
    "checked_objects": "templates_app.services.checks.CheckedObject",
    "compiled_reads": "coderproj.reads.compiled.Read",
    "group_reach": "(actor, group) -> Sequence[coderproj.accounts.pages.reach.Reachable]",
    "home_pages": "(actor) -> str: the address of the actor's start page, empty for the usual one",
    "job_kinds": "provisioning.protocol.kinds.JobKind; the module must not import Django",
    "job_subjects": "provisioning.queue.subjects.SubjectSource",
    "long_bodies": "coderproj.web.callers.LongBody",
    "loop_responders": "(make a coderproj.web.dispatcher.LoopResponder)",
    "navigation": "coderproj.console.navigation.Entry",
    "organization_uses": "(organization) -> str: what still needs the organization, empty if nothing does",
    "parameter_scopes": "provisioning.parameters.ScopeRule",
    "rights_sources": "coderproj.identity.rights.RightsSource",
    "search_sources": "coderproj.console.search.Source",
    "template_actions": "templates_app.pages.base.TemplateAction",
    "template_tabs": "templates_app.pages.base.Tab",
    "template_changes": "(template) -> None: called when a template was changed, within the transaction",
    "template_uses": "(template) -> str: what still needs the template, empty if nothing does",
    "running_workspaces": "(template) -> Mapping[uuid.UUID, int]: the number of running workspaces by version",
    "used_versions": "(template) -> Collection[uuid.UUID]: the versions of the template that workspaces use",
    "user_panels": "(actor, user) -> coderproj.accounts.pages.people.Panel | None: a card on the user's page",
    "user_uses": "(user) -> str: what still needs the user, empty if nothing does",
    "stream_services": "(make a coderproj.web.dispatcher.StreamService)",
}


def declared_by(config: AppConfig) -> Mapping[str, str]:
    """Return the dotted paths by kind, as the app declares them."""
    declared: Mapping[str, str] = getattr(config, "contributions", {})
    return declared


def contribution_paths(kind: str) -> tuple[str, ...]:
    """Return the dotted paths to the contributions of one kind, in the order of INSTALLED_APPS."""
    if kind not in KINDS:
        raise LookupError(f"there is no kind of contribution {kind!r}")
    return tuple(path for config in apps.get_app_configs() if (path := declared_by(config).get(kind)))


@cache
def contributions(kind: str) -> tuple[Any, ...]:
    """Return all contributions of one kind, in the order of INSTALLED_APPS.

    Each call returns the same tuple, which can be the key of a cache of derived values. Raises ImportError when an app
    declares a path that does not exist.
    """
    found: list[Any] = []
    for path in contribution_paths(kind):
        found += import_string(path)
    return tuple(found)
