"""Template tags of pages: times, statuses, icons, initials."""

from datetime import timedelta

import pytest
from django.utils import timezone

from coderproj.console.templatetags.console import ago, duration, initials, status, tile


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.0042, "4 ms"),
        (0.436, "436 ms"),
        (1, "1.0 s"),
        (8.52, "8.5 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.6, "1m 00s"),
        (78, "1m 18s"),
        (3600, "1h 00m"),
        (7500, "2h 05m"),
        (-3, "0 ms"),
    ],
)
def test_duration_format(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        ({"seconds": 5}, "5s ago"),
        ({"minutes": 12}, "12m ago"),
        ({"hours": 7}, "7h ago"),
        ({"days": 9}, "9d ago"),
        ({"days": 61}, "2mo ago"),
        ({"days": 800}, "2y ago"),
        ({"seconds": -60}, "0s ago"),
    ],
)
def test_age_is_short_with_the_exact_time_on_hover(age, text):
    moment = timezone.now() - timedelta(**age)
    shown = ago(moment)
    assert f">{text}</time>" in shown
    assert moment.isoformat() in shown


def test_missing_time_is_a_dash():
    assert ago(None) == "\N{EN DASH}"


@pytest.mark.parametrize(
    "state", ["pending", "running", "canceling", "succeeded", "failed", "canceled", "online", "stale", "some_other"]
)
def test_a_status_has_an_icon_and_a_word(state):
    shown = status(state)
    assert "<use href=" in shown
    assert state.replace("_", " ").split()[0][:4].lower() in shown.lower()


def test_bare_status_shows_its_label_to_screen_readers_only():
    assert '<span class="visually-hidden">Failed</span>' in status("failed", bare=True)


def test_status_label_can_be_overridden():
    assert "no &lt;match&gt;" in status("stale", "no <match>")


@pytest.mark.parametrize(
    ("address", "symbol"),
    [
        ("/icon/docker.png", "brand-docker"),
        ("/icon/k8s.png", "brand-kubernetes"),
        ("https://example.com/a/aws-linux.svg?x=docker", "cloud"),
        ("", "box"),
        ("/emojis/1f4e6.png", "box"),
        ("http://[broken", "box"),
    ],
)
def test_tile_never_loads_the_icon(address, symbol):
    shown = tile(address)
    assert f"#{symbol}" in shown
    assert not address or address not in shown


def test_initials():
    assert initials("mira") == "MI"
