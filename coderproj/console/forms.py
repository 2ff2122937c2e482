"""Forms of pages."""

from typing import Any

from django import forms

from coderproj.errors import DomainError


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
