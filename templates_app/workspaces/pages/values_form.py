"""The form of a version's parameters for a build, with the present values of the workspace, and what the build changes.

``services.values`` checks the values, for this form as for the API.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from provisioning import parameters
from templates_app.models import RichParameter, TemplateVersion
from templates_app.parameter_form import (
    REQUIRED,
    Answer,
    Answers,
    Field,
    Submitted,
    answers_of,
    limits_of,
    rich_fields,
    shown_of,
    variable_fields,
)
from templates_app.workspaces.models import Workspace, WorkspaceBuild
from templates_app.workspaces.services import values

# What of a parameter's definition a user sees.
DEFINITION = (
    *("type", "mutable", "ephemeral", "options", "validation_regex"),
    *("validation_min", "validation_max", "validation_monotonic"),
)
ADDED, REMOVED, CHANGED = "New", "Gone", "Changed"


@dataclass(frozen=True, slots=True)
class Change:
    """A parameter that the build changes: its value before and after, None where it has none."""

    name: str
    kind: str
    before: str | None = None
    after: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ValuesForm:
    """The fields of a version, with the values that the workspace has for it: ``kept`` by its latest build, whose
    version had the parameters ``before``. A new workspace has none."""

    version: TemplateVersion
    rows: Mapping[str, RichParameter]
    fields: Sequence[Field]
    kept: Mapping[str, str] | None = None
    before: Mapping[str, RichParameter] = field(default_factory=dict)

    @property
    def shown(self) -> Sequence[Field]:
        return shown_of(self.fields)

    def initial(self, chosen: Mapping[str, str] | None = None) -> Answers:
        """Return the form with the present values, or those of ``chosen`` by parameter. Values that the version does
        not allow have their errors."""
        chosen = chosen or {}
        rows = (
            Answer(field, field.default if field.is_variable else chosen.get(field.name, field.default))
            for field in self.shown
        )
        return self._checked(Answers(tuple(rows)), complete=False)

    def answers(self, submitted: Submitted, *, complete: bool) -> Answers:
        """Validate submitted values. Missing values are errors only when the form is ``complete``."""
        open_fields = [field for field in self.shown if not field.locked]
        given = {row.field.key: row for row in answers_of(open_fields, submitted, complete=complete).answers}
        rows = (given.get(field.key) or Answer(field, field.default) for field in self.shown)
        return self._checked(Answers(tuple(self._emptied(row, complete) for row in rows)), complete=complete)

    def _emptied(self, row: Answer, complete: bool) -> Answer:
        """Replace an empty text by the default of the version, as the service does. If it is the default, it stays."""
        definition = self.rows.get(row.field.name) if not row.field.is_variable else None
        if definition is None or row.value != "" or definition.default_value == "" or row.field.locked:
            return row
        default = definition.default_value
        if default is None:
            return Answer(row.field, None, REQUIRED if complete else "")
        return Answer(row.field, default, "", default != row.field.default)

    def _checked(self, answers: Answers, *, complete: bool) -> Answers:
        """Add what only the service finds: changes that a parameter does not allow."""
        try:
            values.rich_values(self.version, rich_given(answers), self.kept)
        except values.InvalidValues as error:
            prefix = f"{values.RICH}."
            faults = {problem.field.removeprefix(prefix): problem.detail for problem in error.problems}
        else:
            return answers
        return Answers(tuple(self._with_fault(row, faults, complete) for row in answers.answers))

    def _with_fault(self, row: Answer, faults: Mapping[str, str], complete: bool) -> Answer:
        fault = "" if row.field.is_variable else faults.get(row.field.name, "")
        return replace(row, error=fault) if fault and not row.error and (complete or row.value is not None) else row

    def changes(self, answers: Answers) -> list[Change]:
        """Return what a build with these values changes, compared with the latest one; none for a new workspace."""
        if self.kept is None:
            return []
        found = [self._change(row) for row in answers.rich]
        gone = [Change(name, REMOVED, before=self._value_before(name)) for name in self.before if name not in self.rows]
        return [*(change for change in found if change is not None), *gone]

    def _change(self, row: Answer) -> Change | None:
        name = row.field.name
        if name not in self.before:
            return Change(name, ADDED, after=row.value)
        old, new = self.before[name], self.rows[name]
        redefined = any(getattr(old, key) != getattr(new, key) for key in DEFINITION)
        note = "has other rules now" if redefined else ""
        before = self._value_before(name)
        if row.value == before:
            return Change(name, CHANGED, note=note) if note else None
        return Change(name, CHANGED, before, row.value, note)

    def _value_before(self, name: str) -> str | None:
        """Return the present value. An ephemeral parameter has none: its value was for one build."""
        kept, row = self.kept or {}, self.before[name]
        return row.default_value if row.ephemeral else kept.get(name, row.default_value)


# ---------------------------------------------------------------------- making the form
def new_form(version: TemplateVersion) -> ValuesForm:
    """Return the form for a new workspace. Three queries."""
    rows = list(version.rich_parameters.order_by("index"))
    fields = [*rich_fields(rows), *variable_fields(version.job_id, version.template_id)]
    return ValuesForm(version, {row.name: row for row in rows}, fields)


def change_form(workspace: Workspace, latest: WorkspaceBuild, version: TemplateVersion) -> ValuesForm:
    """Return the form for a build of a workspace with a version. Six queries."""
    rows = list(version.rich_parameters.order_by("index"))
    kept = values.kept_values(latest)
    rich = [_present(one, row, kept.get(row.name)) for one, row in zip(rich_fields(rows), rows, strict=True)]
    given = values.variables_of(workspace.pk)
    return ValuesForm(
        version,
        {row.name: row for row in rows},
        [*rich, *variable_fields(version.job_id, version.template_id, given)],
        kept,
        {row.name: row for row in latest.template_version.rich_parameters.order_by("index")},
    )


def _present(one: Field, row: RichParameter, value: str | None) -> Field:
    """Return the field of a parameter that has a value: it is the default of the form. An ephemeral parameter is asked
    again."""
    if value is None or row.ephemeral:
        return one
    return replace(one, default=value, locked=not row.mutable, limits=limits_of(row, value))


# ---------------------------------------------------------------------- what services take
def rich_given(answers: Answers) -> list[values.NamedValue]:
    """Return the values that differ from the present ones; builds keep the others."""
    rows = (row for row in answers.rich if row.given and not row.field.locked)
    return [values.NamedValue(row.field.name, row.value) for row in rows if row.value is not None]


def variables_given(answers: Answers) -> list[parameters.GivenValue]:
    """Return the values of variables that differ from the present ones."""
    rows = (row for row in answers.variables if row.given)
    return [parameters.GivenValue(row.field.name, row.value) for row in rows if row.value is not None]


def with_errors(answers: Answers, error: values.InvalidValues) -> tuple[Answers, list[str]]:
    """Return the answers with the problems of a service at their fields, and the texts of those without a field."""
    found = {problem.field.removeprefix(f"{values.RICH}."): problem.detail for problem in error.problems}
    names = {row.field.name for row in answers.rich}
    rows = tuple(
        replace(row, error=row.error or found.get(row.field.name, "")) if not row.field.is_variable else row
        for row in answers.answers
    )
    return Answers(rows), [detail for name, detail in found.items() if name not in names]
