"""Checks of values in the coder provider."""

import pytest

from provisioning.engine.provider import coder_checks
from provisioning.engine.provider.base import validate_block
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.coder_schema import DATA_SOURCES, RESOURCES
from tests.engine.provider.terraform import CONTEXT


@pytest.mark.parametrize(
    "text",
    [
        "0 0 22 * * *",
        "30 0 9 * * 1-5",
        "0 */5 * * * *",
        "0 22 * * *",
        "0 0 1,15 * *",
        "0 9-17/2 * JAN-mar Mon-FRI",
        "0 0 ? * 7",
        "@daily",
        "@every 1h30m",
    ],
)
def test_cron_expressions_are_accepted(text: str) -> None:
    assert coder_checks.schedule(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("every day", 'is "every day", expected the fields of a cron expression'),
        ("* * * *", "expected the fields"),
        ("60 * * * * *", 'the seconds "60" is not between 0 and 59'),
        ("0 24 * * *", 'the hours "24" is not between 0 and 23'),
        ("0 0 0 * *", 'the day of the month "0" is not between 1 and 31'),
        ("0 0 * 13 *", 'the month "13" is not between 1 and 12'),
        ("0 0 * * 5-1", 'the day of the week "5-1" is not between 0 and 7'),
        ("0 0 * * x", 'the day of the week "x" is not a number'),
        ("*/0 * * * *", 'the step of the minutes "*/0" is not positive'),
        ("0,,1 * * * *", 'the minutes "" is not a number'),
        ("@often", "expected the fields"),
        ("1," * 1000, "expected the fields"),
    ],
)
def test_errors_in_cron_expressions_are_named(text: str, fault: str) -> None:
    assert fault in (coder_checks.schedule(text) or "")


def test_a_script_with_an_invalid_schedule_is_refused_at_its_field() -> None:
    config = {"agent_id": "a", "display_name": "d", "script": "s", "cron": "0 0 25 * * *"}

    (fault,) = validate_block(RESOURCES["coder_script"], config)

    assert fault.path == ("cron",)
    assert 'the hours "25" is not between 0 and 23' in fault.detail


def test_the_schedule_of_a_preset_covers_whole_hours() -> None:
    def faults(cron: str, zone: str = "UTC") -> list[tuple[str | int, ...]]:
        scheduling = {"timezone": zone, "schedule": [{"cron": cron, "instances": 1}]}
        preset = {"name": "p", "prebuilds": [{"instances": 1, "scheduling": [scheduling]}]}
        return [fault.path for fault in validate_block(DATA_SOURCES["coder_workspace_preset"], preset)]

    inside = ("prebuilds", 0, "scheduling", 0)
    assert faults("* 8-18 * * 1-5") == faults("* 8 1-7 6 *", "Europe/Paris") == []
    assert faults("0 8 * * *") == faults("* 25 * * *") == [(*inside, "schedule", 0, "cron")]
    assert faults("* 8 * * *", "Mars/Olympus") == [(*inside, "timezone")]


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ({"env": "MY_TOKEN"}, []),
        ({"file": "~/cert.pem"}, []),
        ({"file": "/etc/cert.pem"}, []),
        ({}, ["env"]),
        ({"env": "A", "file": "~/a"}, ["env"]),
        ({"env": "1A"}, ["env"]),
        ({"file": "cert.pem"}, ["file"]),
    ],
)
def test_a_secret_has_a_valid_variable_or_file(config: dict[str, str], fields: list[str]) -> None:
    found = CoderProvider(CONTEXT).validate_data_source("coder_secret", {"help_message": "h", **config})

    assert [fault.path[0] for fault in found] == fields


def test_names_of_time_zones_are_not_checked_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coder_checks, "_time_zones", frozenset)

    assert coder_checks.time_zone("Mars/Olympus") is None


def test_an_empty_form_type_counts_as_not_set() -> None:
    assert validate_block(DATA_SOURCES["coder_parameter"], {"name": "p", "form_type": ""}) == []
