"""Screenshots of every page, light, dark, on a phone and on a narrow one: ``make pictures``, or of some pages,
``make pictures ARGS="-k workspace"``. Not a test: pytest runs it only by name.

``PICTURES`` is their folder.
"""

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import NARROW, PHONE, WIDE
from tests.e2e.test_looks import OBJECT_PAGES, PAGES, shared, tab  # noqa: F401 - fixtures

pytestmark = [pytest.mark.e2e, pytest.mark.django_db]
FOLDER = Path(os.environ.get("PICTURES", ".data/pictures"))
LOOKS = {"light": ("light", WIDE), "dark": ("dark", WIDE), "phone": ("light", PHONE), "narrow": ("light", NARROW)}
# The maximum height of a screenshot, in pixels.
TALLEST = 2400
SHOWN = (
    PAGES
    | OBJECT_PAGES
    | {
        "finished job": "/jobs/{finished}",
        "failed job": "/jobs/{failed}",
        "admin template": "/admin/templates_app/template/{template}/change/",
        "admin users": "/admin/identity/user/",
        "missing page": "/templates/acme/nothing-like-it",
    }
)
MISSING = "Failed to load resource: the server responded with a status of 404 (Not Found)"


@pytest.mark.django_db(transaction=True)
def test_take_a_picture_of_the_setup(page):
    take(page, "first user", "/setup")


def test_take_a_picture_of_the_sign_in(tab):  # noqa: F811 - the fixture
    context, page, _ = tab
    cookies = context.cookies()
    context.clear_cookies()
    try:
        take(page, "sign in", "/login")
    finally:  # the other pictures need the session
        context.add_cookies(cookies)


@pytest.mark.parametrize("name", SHOWN)
def test_take_pictures(name, shared, tab):  # noqa: F811 - the fixtures
    scene, values = shared
    _, page, problems = tab
    problems.clear()
    more = {"template": scene.docker.pk, "finished": scene.dry_run.pk, "failed": scene.failed.job_id}
    take(page, name, SHOWN[name].format_map(values | more))
    assert [text for text in problems if text != MISSING] == []


def take(page, name: str, path: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for look, (scheme, size) in LOOKS.items():
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        page.goto(path)
        height = min(page.evaluate("document.documentElement.scrollHeight"), TALLEST)
        page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})
        page.screenshot(path=FOLDER / f"{name.replace(' ', '_')}_{look}.png")
