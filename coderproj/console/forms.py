"""Forms of pages."""

from collections.abc import Mapping
from typing import Any

from django import forms

from coderproj.base.errors import DomainError


class ConsoleForm(forms.Form):
    """A form with the console's CSS classes that can show a service's errors."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("maxlength", None)  # browsers cut a longer pasted text and say nothing
            if not isinstance(field.widget, forms.CheckboxInput | forms.RadioSelect | forms.CheckboxSelectMultiple):
                field.widget.attrs.setdefault("class", "input")

    def show_error(self, error: DomainError) -> None:
        """Show a service's error: at the fields that it names, or above the form."""
        unnamed = True
        for problem in error.problems:
            if problem.field in self.fields:
                self.add_error(problem.field, problem.detail)
                unnamed = False
        if unnamed:
            details = " ".join(problem.detail for problem in error.problems)
            self.add_error(None, " ".join(filter(None, (error.message, error.detail, details))))


class LiveForm(ConsoleForm):
    """A form whose errors are updated while it is filled in. Each field refers to the place of its error, also while
    there is none. A field set does so in its template."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for bound in self:
            if not bound.use_fieldset:
                places = ("helptext", "error") if bound.help_text else ("error",)
                described = " ".join(f"{bound.auto_id}_{place}" for place in places)
                bound.field.widget.attrs["aria-describedby"] = described


class FiltersForm(ConsoleForm):
    """The fields of a list's filters. ``given`` are all filters in the address: ``hidden`` keeps those without a
    field, and an unknown value is added to the choices of its field. Fields in ``SEVERAL`` accept several values,
    separated by commas."""

    SEVERAL: tuple[str, ...] = ()

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(given)
        self.given = given
        for name, field in self.fields.items():
            if isinstance(field, forms.ChoiceField):
                value = given.get(name, "")
                self._add_choice(field, value, value.split(",") if name in self.SEVERAL else [value])

    def _add_choice(self, field: forms.ChoiceField, value: str, parts: list[str]) -> None:
        choices: Any = field.choices
        words = dict(choices)
        if value not in words:
            label = " or ".join(words.get(part, part) for part in parts)
            field.choices = [*words.items(), (value, label)]

    @property
    def hidden(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.given.items() if name not in self.fields]

    def show_error(self, error: DomainError) -> None:
        """Show the errors of filters: at their fields, or with the name of a filter without a field."""
        invalid = set(self.errors)  # fields with an error of the form need no second one
        for problem in error.problems:
            if problem.field not in self.fields:
                self.add_error(None, f"{problem.field}: {problem.detail}")
            elif problem.field not in invalid:
                self.add_error(problem.field, problem.detail)
