"""Forms of pages that show the errors of a service."""

from django import forms
from django.template.loader import render_to_string

from coderproj.base.errors import Invalid, Problem
from coderproj.console.forms import FiltersForm


class Filters(FiltersForm):
    name = forms.CharField(label="Name", max_length=3)
    day = forms.CharField(label="Day")


def test_error_of_form_and_service_is_shown_once():
    form = Filters({"name": "abcd", "day": "never"})
    problems = [("name", "Too long."), ("day", "No date."), ("day", "Not in the past."), ("kind", "Unknown.")]
    form.show_error(Invalid(problems=tuple(Problem(*problem) for problem in problems)))
    assert form.errors["name"] == ["Ensure this value has at most 3 characters (it has 4)."]
    assert form.errors["day"] == ["No date.", "Not in the past."]
    assert form.non_field_errors() == ["kind: Unknown."]
    shown = render_to_string("console/_filter_errors.html", {"form": form})
    assert [shown.count(f'id="id_{name}_error"') for name in ("name", "day")] == [1, 1]
    assert "Day: No date. Not in the past." in shown
