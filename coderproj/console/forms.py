"""Forms of pages."""

from collections.abc import Mapping
from typing import Any

from django import forms

from coderproj.base.errors import DomainError


class ConsoleForm(forms.Form):
    """A form in the console's dress, which can also show what a service objects to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if not isinstance(field.widget, forms.CheckboxInput | forms.RadioSelect | forms.CheckboxSelectMultiple):
                field.widget.attrs.setdefault("class", "input")

    def refuse(self, error: DomainError) -> None:
        """Show a service's error: at the fields that it names, or above the form."""
        unnamed = True
        for problem in error.problems:
            if problem.field in self.fields:
                self.add_error(problem.field, problem.detail)
                unnamed = False
        if unnamed:
            details = " ".join(problem.detail for problem in error.problems)
            self.add_error(None, " ".join(filter(None, (error.message, error.detail, details))))


class FiltersForm(ConsoleForm):
    """The fields of a list's filters. ``given`` are all that the address has: those without a field are carried on by
    ``hidden``, and a choice that is not offered is one more. Those of ``SEVERAL`` take several at once, with commas."""

    SEVERAL: tuple[str, ...] = ()

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(given)
        self.given = given
        for name, field in self.fields.items():
            if isinstance(field, forms.ChoiceField):
                value = given.get(name, "")
                self._offer(field, value, value.split(",") if name in self.SEVERAL else [value])

    def _offer(self, field: forms.ChoiceField, value: str, parts: list[str]) -> None:
        offered: Any = field.choices
        words = dict(offered)
        if value not in words:
            label = " or ".join(words.get(part, part) for part in parts)
            field.choices = [*words.items(), (value, label)]

    @property
    def hidden(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.given.items() if name not in self.fields]

    def refuse(self, error: DomainError) -> None:
        """Show what is wrong with the filters: at their fields, or naming those that have none."""
        refused = set(self.errors)  # a field that the form refuses itself has its reason already
        for problem in error.problems:
            if problem.field not in self.fields:
                self.add_error(None, f"{problem.field}: {problem.detail}")
            elif problem.field not in refused:
                self.add_error(problem.field, problem.detail)
