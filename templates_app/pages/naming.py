"""Making an imported version a template."""

from django import forms

from coderproj.console.forms import ConsoleForm


class NameForm(ConsoleForm):
    name = forms.RegexField(
        r"\A[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*\Z",
        label="Name",
        max_length=32,
        help_text="Letters, digits and single dashes. Developers type this name.",
        error_messages={"invalid": "Use letters and digits, with single dashes between them."},
    )
    display_name = forms.CharField(label="Display name", max_length=64, required=False)
    description = forms.CharField(label="Description", max_length=128, required=False)
    icon = forms.CharField(widget=forms.HiddenInput, max_length=256, required=False)
