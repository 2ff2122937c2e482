"""Filters of workspaces and builds, for API and pages.

The search text of workspaces has a grammar of its own (contract, ``q``): clients send it from a time before the search
language of ``base.search_terms``. Every element is ``key:value``, ``owner/name`` or a part of a name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import django_filters

from coderproj.base import filtering
from coderproj.base.errors import Invalid, Problem
from coderproj.base.search_terms import FIELD, UNCLOSED_QUOTE, WORD
from coderproj.identity.actor import Actor
from coderproj.identity.users import ME
from provisioning.models import AgentStatus
from templates_app.workspaces.models import BuildStatus, Workspace, WorkspaceBuild, WorkspaceQuerySet
from templates_app.workspaces.models.conditions import (
    has_agent,
    in_status,
    is_built_from,
    is_owned_by,
    name_contains,
    shown_status,
)

MAX_CHARACTERS = 2000
# The parts of a word: quoted ones, separators, and others.
PART = re.compile(r'"[^"]*"|[:/]|[^":/]+')
CHOICES = {"status": BuildStatus.values, "has_agent": AgentStatus.values}
Terms = Mapping[str, str]


class WorkspaceFilter(filtering.FilterSet):
    """Filter workspaces by owner, name, template, status and agents. Deleted workspaces match ``status=deleted``
    only."""

    owner = django_filters.CharFilter(method="by_owner", help_text="`me` or a username.")
    name = django_filters.CharFilter(method="by_name", help_text="Part of the name.")
    template = django_filters.CharFilter(method="by_template", help_text="The exact name of the template.")
    status = django_filters.ChoiceFilter(choices=BuildStatus.choices, method="by_status", help_text="The shown status.")
    has_agent = django_filters.ChoiceFilter(
        choices=AgentStatus.choices, method="by_agent", help_text="A running workspace has an agent with this status."
    )

    class Meta:
        model = Workspace
        fields: list[str] = []

    def by_owner(self, rows: WorkspaceQuerySet, name: str, username: str) -> WorkspaceQuerySet:
        return rows.filter(owner=self.actor.id) if username == ME else rows.filter(is_owned_by(username))

    def by_name(self, rows: WorkspaceQuerySet, name: str, text: str) -> WorkspaceQuerySet:
        return rows.filter(name_contains(text))

    def by_template(self, rows: WorkspaceQuerySet, name: str, template: str) -> WorkspaceQuerySet:
        return rows.filter(is_built_from(template))

    def by_status(self, rows: WorkspaceQuerySet, name: str, status: str) -> WorkspaceQuerySet:
        return rows.alias(**shown_status()).filter(in_status(status))

    def by_agent(self, rows: WorkspaceQuerySet, name: str, status: str) -> WorkspaceQuerySet:
        return rows.filter(has_agent(status))


# ---------------------------------------------------------------------- parsing
# By key of ``q``: the name of the filter.
KEYS = {**{name: name for name in WorkspaceFilter.base_filters if name != "has_agent"}, "has-agent": "has_agent"}


def parse_query(text: str) -> Terms:
    """Parse ``q``; return the values by filter, in lower case.

    Unknown keys are ignored, and of a repeated key the last value counts. Raises Invalid on ``q``.
    """
    if len(text) > MAX_CHARACTERS:
        raise Invalid.field(FIELD, f"Must have at most {MAX_CHARACTERS} characters.")
    if "\0" in text:
        raise Invalid.field(FIELD, "Null characters are not allowed.")
    if text.count('"') % 2:
        raise Invalid.field(FIELD, UNCLOSED_QUOTE)
    terms: dict[str, str] = {}
    for word in WORD.findall(text.lower()):
        parts = _split(word, ":")
        if len(parts) > 2:
            raise Invalid.field(FIELD, f"{word[:64]!r} has more than one colon.")
        if len(parts) == 2:
            if parts[0] in KEYS:
                terms[KEYS[parts[0]]] = parts[1]
            continue
        names = _split(word, "/")
        if len(names) > 2:
            raise Invalid.field(FIELD, f"{word[:64]!r} has more than one slash.")
        terms.update(zip(("owner", "name") if len(names) == 2 else ("name",), names, strict=True))
    return {name: value for name, value in terms.items() if value}


def _split(word: str, separator: str) -> list[str]:
    """Split at separators outside of quotes, and remove the quotes."""
    texts = [""]
    for part in PART.findall(word):
        if part == separator:
            texts.append("")
        else:
            texts[-1] += part.strip('"')
    return texts


def terms_of(query: Mapping[str, str]) -> Sequence[Terms]:
    """Return the values that ``q`` and the query parameters give, each by filter; a workspace must match both.

    Raises Invalid with a problem for each invalid parameter.
    """
    searched = parse_query(query.get(FIELD, ""))
    given = {name: query[name].lower() for name in WorkspaceFilter.base_filters if query.get(name)}
    problems = [
        *(Problem(FIELD, f"{name}: {detail}") for name, detail in _faults(searched)),
        *(Problem(name, detail) for name, detail in _faults(given)),
    ]
    if problems:
        raise Invalid("Query parameters have invalid values.", problems=tuple(problems))
    return searched, given


def _faults(terms: Terms) -> Iterator[tuple[str, str]]:
    """Yield what the form of the filter set would report, which takes longer than the rest of the request."""
    for name, value in terms.items():
        if "\0" in value:
            yield name, "Null characters are not allowed."
        elif name in CHOICES and value not in CHOICES[name]:
            yield name, f"{value[:64]!r} is not one of {', '.join(CHOICES[name])}."


def merged(terms: Sequence[Terms]) -> Terms | None:
    """Return the terms as one; None if they give different values for the same filter."""
    found: dict[str, str] = {}
    for some in terms:
        if any(found.get(name, value) != value for name, value in some.items()):
            return None
        found.update(some)
    return found


def are_compiled(query: Mapping[str, str]) -> bool:
    """Return True if the compiled read of the list applies the filters of a valid query."""
    try:
        return merged(terms_of(query)) is not None
    except Invalid:
        return False


def search_workspaces(actor: Actor, query: Mapping[str, str]) -> WorkspaceQuerySet:
    """Return the visible workspaces that match ``q`` and the query parameters, in the order of lists. Raises Invalid
    naming the parameter."""
    terms = terms_of(query)
    rows = Workspace.objects.visible(actor).with_build().most_recent_first()
    if not any("status" in some for some in terms):
        rows = rows.existing()
    for some in terms:
        rows = WorkspaceFilter(some, actor=actor, queryset=rows).qs
    return rows


# ---------------------------------------------------------------------- builds
class BuildFilter(filtering.FilterSet):
    """Filter the builds of a workspace by time."""

    since = filtering.created_after()

    class Meta:
        model = WorkspaceBuild
        fields: list[str] = []
