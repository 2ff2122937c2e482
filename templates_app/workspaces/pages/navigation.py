"""The entry of workspaces in the console's navigation."""

from coderproj.console.navigation import Entry, Section
from coderproj.identity.actor import Actor
from templates_app.workspaces.models import Workspace
from templates_app.workspaces.pages.home import start_page


def count_own(actor: Actor) -> str:
    """Return the number of the actor's workspaces, empty for none."""
    return str(Workspace.objects.visible(actor).existing().filter(owner=actor.id).count() or "")


def starts_here(actor: Actor) -> bool:
    return bool(start_page(actor))


ENTRIES = [
    Entry("home", "Home", Section.BUILD, "house", "member-home", 1, offered=starts_here),
    Entry("workspaces", "Workspaces", Section.BUILD, "monitor", "workspaces", 5, count=count_own),
]
