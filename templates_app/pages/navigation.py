"""The entries of templates in the console's navigation."""

from coderproj.console.navigation import Entry, Section
from coderproj.identity.actor import Actor
from templates_app.models import Template
from templates_app.pages.listing import may_create_somewhere
from templates_app.statistics.deployment import sees_insights


def count_templates(actor: Actor) -> str:
    return str(Template.objects.visible(actor).count())


ENTRIES = [
    Entry("templates", "Templates", Section.BUILD, "layout-template", "templates", 10, count=count_templates),
    Entry("starters", "Starter templates", Section.BUILD, "package-plus", "starters", 40, offered=may_create_somewhere),
    Entry("insights", "Insights", Section.OPERATE, "activity", "insights", 70, offered=sees_insights),
]
