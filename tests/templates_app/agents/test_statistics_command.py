"""``manage.py statistics``."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from templates_app.models import Insights, TemplateStatistics

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("statistics", *arguments, stdout=output)
    return output.getvalue()


def test_refresh_and_show(program, agent, template):
    assert "No worker has counted yet" in run("show")
    program.report()
    assert "Refreshed" in run("refresh")
    text = run("show")
    assert "acme/web" in text
    assert "Counted until" in text
    shown = json.loads(run("show", "--json"))
    (row,) = shown["templates"]
    assert (row["template"], row["active_users"], row["workspace_owners"]) == ("web", 1, 1)
    assert Insights.objects.filter(template=template).exists()


def test_refresh_all_counts_again(program, agent, template):
    program.report()
    run("refresh")
    TemplateStatistics.objects.update(active_users=7)
    run("refresh")
    assert TemplateStatistics.objects.get().active_users == 7
    assert json.loads(run("refresh", "--all", "--json"))["changes"] > 0
    assert TemplateStatistics.objects.get().active_users == 1
