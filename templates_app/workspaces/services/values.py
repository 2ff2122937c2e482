"""The values of rich parameters and variables for a build: one check for the API, forms and the scheduler.

The rules are those of the contract (rich parameters of a build) with its defects W8 to W11 fixed.
"""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coderproj.base.errors import Invalid, Problem
from provisioning import parameters
from provisioning.engine.base import Transition
from provisioning.models import ParameterScope, ParameterValue, SourceScheme
from templates_app import parameter_form
from templates_app.models import RichParameter, TemplateVersion
from templates_app.workspaces.models import BuildParameter, WorkspaceBuild

RICH = "rich_parameter_values"
LEGACY = "parameter_values"


class InvalidValues(Invalid):
    """Values of parameters are missing, unknown or not allowed. ``detail`` names the first one (contract)."""

    message = "The values of the parameters are invalid."

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(detail=problems[0].detail, problems=tuple(problems))


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A value in a request."""

    name: str
    value: str


# ---------------------------------------------------------------------- rich parameters
def rich_values(
    version: TemplateVersion,
    given: Sequence[NamedValue],
    previous: Mapping[str, str] | None = None,
    *,
    transition: Transition = Transition.START,
) -> dict[str, str]:
    """Return the values that a build of the version stores, in the order of the parameters.

    ``given`` are those of the request, where an empty text means no value unless it is the default; ``previous`` are
    the ``kept_values`` of the build before, None for the first build. A parameter with neither has its default and no
    stored value. Ephemeral parameters never keep a value. Only a start checks values that it keeps: nothing must
    prevent a stop. Raises InvalidValues with a problem for each parameter.
    """
    rows = version.rich_parameters.all()
    problems = _misnamed(given, {row.name for row in rows})
    sent = {one.name: one.value for one in given}
    fields = {field.name: field for field in parameter_form.rich_fields(rows)}
    deadline = time.monotonic() + parameter_form.PATTERN_SECONDS
    found: dict[str, str] = {}
    for row in rows:
        kept = None if row.ephemeral else (previous or {}).get(row.name)
        value = sent.get(row.name)
        if value == "" and row.default_value != "":
            value = None
        fault = _bool_fault(row, value) or _change_fault(row, value, kept)
        is_checked = value is not None or transition is Transition.START
        value = kept if value is None else value
        if value is not None:
            found[row.name] = value
        if is_checked and not fault:
            fault = _value_fault(row, fields[row.name], value, deadline)
        if fault:
            problems.append(Problem(f"{RICH}.{row.name}", fault))
    if problems:
        raise InvalidValues(problems)
    return found


def _misnamed(given: Sequence[NamedValue], known: set[str]) -> list[Problem]:
    problems: list[Problem] = []
    seen: set[str] = set()
    for one in given:
        field = f"{RICH}.{one.name}"
        if one.name not in known:
            problems.append(Problem(field, f"The version has no parameter {one.name!r}."))
        elif one.name in seen:
            problems.append(Problem(field, f"The parameter {one.name!r} is given twice."))
        seen.add(one.name)
    return problems


def _value_fault(row: RichParameter, field: parameter_form.Field, value: str | None, deadline: float) -> str:
    """Return why a parameter cannot have this value, or none."""
    if value is None:
        return f"The parameter {row.name!r} has no default: it needs a value." if row.default_value is None else ""
    wrong = parameter_form.value_error(field, value, deadline)
    return f"The value of {row.name!r} is not allowed: {wrong}" if wrong else ""


def _bool_fault(row: RichParameter, value: str | None) -> str:
    """Return why a value is not a boolean. The provider reads more spellings in a template than a request may have."""
    if row.type != "bool" or value is None or value in ("true", "false"):
        return ""
    return f"The value of {row.name!r} must be true or false."


def _change_fault(row: RichParameter, value: str | None, kept: str | None) -> str:
    """Return why a value must not replace the one of the build before."""
    if value is None or kept is None or value == kept:
        return ""
    if not row.mutable:
        return f"The parameter {row.name!r} cannot be changed after the first build."
    if row.validation_monotonic and row.type == "number":
        try:
            grows = int(value) > int(kept)
        except ValueError:
            return ""  # the check of the value reports it
        if grows != (row.validation_monotonic == "increasing"):
            direction = "increase" if row.validation_monotonic == "increasing" else "decrease"
            return f"The value of {row.name!r} can only {direction}: it is {kept}."
    return ""


def stored_rich_values(build: WorkspaceBuild) -> dict[str, str]:
    return {row.name: row.value for row in build.parameters.all()}


def kept_values(build: WorkspaceBuild) -> dict[str, str]:
    """Return the values that the next build keeps: the stored ones, and the defaults that immutable parameters had."""
    rows = (row for row in build.template_version.rich_parameters.all() if not (row.mutable or row.ephemeral))
    defaults = {row.name: row.default_value for row in rows if row.default_value is not None}
    return defaults | stored_rich_values(build)


def rich_rows(build: WorkspaceBuild, values: Mapping[str, str]) -> list[BuildParameter]:
    """Return the rows that store the values of a build."""
    return [BuildParameter(build=build, name=name, value=value) for name, value in values.items()]


# ---------------------------------------------------------------------- variables
def check_variables(version: TemplateVersion, given: Sequence[parameters.GivenValue]) -> list[parameters.GivenValue]:
    """Return the values of variables that the request gives; those of scheme ``none`` mean no value.

    Raises InvalidValues for an unknown variable, one given twice, and one whose value the template keeps to itself.
    """
    if not given:
        return []
    schemas = {row.name: row for row in version.job.schemas.all()}
    problems: list[Problem] = []
    seen: set[str] = set()
    found = []
    for index, value in enumerate(given):
        field = f"{LEGACY}[{index}]"
        schema = schemas.get(value.name)
        if value.copy_from is not None:
            problems.append(Problem(f"{field}.copy_from_parameter", "Values cannot be copied to a workspace."))
        elif schema is None:
            problems.append(Problem(f"{field}.name", f"The version has no variable {value.name!r}."))
        elif value.name in seen:
            problems.append(Problem(f"{field}.name", f"The variable {value.name!r} is given twice."))
        elif value.source_scheme != SourceScheme.NONE:
            if not schema.allow_override_source and schema.default_source_scheme == SourceScheme.DATA:
                problems.append(Problem(f"{field}.source_value", f"The variable {value.name!r} cannot be overridden."))
            found.append(value)
        seen.add(value.name)
    if problems:
        raise InvalidValues(problems)
    return found


def store_variables(workspace_id: uuid.UUID, given: Sequence[parameters.GivenValue]) -> None:
    """Store values of variables for a workspace, replacing those of the same names."""
    if not given:
        return
    names = [value.name for value in given]
    ParameterValue.objects.filter(scope=ParameterScope.WORKSPACE, scope_id=workspace_id, name__in=names).delete()
    parameters.store(ParameterScope.WORKSPACE, workspace_id, given)


def variables_of(workspace_id: uuid.UUID) -> dict[str, str]:
    rows = ParameterValue.objects.filter(scope=ParameterScope.WORKSPACE, scope_id=workspace_id)
    return dict(rows.values_list("name", "source_value"))


def require_variables(
    version: TemplateVersion,
    workspace_id: uuid.UUID,
    given: Sequence[parameters.GivenValue],
    transition: Transition,
) -> None:
    """Raise InvalidValues if a variable that has no default has no value, neither ``given`` nor stored: the plan of a
    start needs it."""
    if transition is not Transition.START:
        return
    required = [row.name for row in version.job.schemas.all() if row.is_required]
    if not required:
        return
    scopes = [scope_id for scope_id in (version.job_id, version.template_id, workspace_id) if scope_id is not None]
    stored = ParameterValue.objects.filter(scope_id__in=scopes, name__in=required)
    names = {*stored.values_list("name", flat=True), *(value.name for value in given)}
    if missing := next((name for name in required if name not in names), None):
        raise InvalidValues([Problem(LEGACY, f"The variable {missing!r} has no default: it needs a value.")])
