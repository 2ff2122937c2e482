"""Screenshots of every page, light, dark and on a phone: ``make pictures``. Not a test: pytest runs it only by name.

``PICTURES`` is their folder.
"""

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import PHONE, WIDE
from tests.e2e.test_looks import OBJECT_PAGES, PAGES, add_one_of_each

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
FOLDER = Path(os.environ.get("PICTURES", ".data/pictures"))
LOOKS = {"light": ("light", WIDE), "dark": ("dark", WIDE), "phone": ("light", PHONE)}
# The maximum height of a screenshot, in pixels.
TALLEST = 2400
MORE = {
    "finished job": "/jobs/{finished}",
    "failed job": "/jobs/{failed}",
    "admin template": "/admin/templates_app/template/{template}/change/",
    "admin users": "/admin/identity/user/",
}


def test_take_pictures_of_the_setup(page):
    take(page, "first user", "/setup")


def test_take_pictures(page, scene, sign_in, problems):
    take(page, "sign in", "/login")
    sign_in(scene.owner)
    parts = add_one_of_each(scene) | {
        "template": str(scene.docker.pk),
        "finished": str(scene.dry_run.pk),
        "failed": str(scene.failed.job_id),
    }
    for name, path in (PAGES | OBJECT_PAGES | MORE).items():
        take(page, name, path.format_map(parts))
    assert problems == []
    take(page, "missing page", "/templates/acme/nothing-like-it")
    problems.clear()  # the browser reports the status 404 of the last page


def take(page, name: str, path: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for look, (scheme, size) in LOOKS.items():
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        page.goto(path)
        height = min(page.evaluate("document.documentElement.scrollHeight"), TALLEST)
        page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})
        page.screenshot(path=FOLDER / f"{name.replace(' ', '_')}_{look}.png")
