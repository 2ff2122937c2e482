"""Requests that leave the fast path: expected outcomes silently, others with a log line. The caller notices neither."""

import logging

import pytest

from coderproj.identity import authentication
from coderproj.identity.models import ApiKey
from tests.api import ApiClient
from tests.coderproj.reads.fast_path_urls import EXPECTED, UNEXPECTED
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.coderproj.reads.fast_path_urls")]
LOGGER = "coderproj.reads.viewsets"


@pytest.fixture
def api():
    """A caller whose token is in the actor cache."""
    api = ApiClient(make_user())
    assert api.get("probe/none").body == {"path": "regular"}
    assert authentication.actor_cache.get(api.headers["HTTP_CODER_SESSION_TOKEN"]) is not None
    return api


@pytest.mark.parametrize("outcome", EXPECTED)
def test_an_expected_outcome_is_left_to_the_regular_path(api, caplog, outcome):
    with caplog.at_level(logging.DEBUG, LOGGER):
        assert api.get(f"probe/{outcome}").body == {"path": "regular"}
    assert [record for record in caplog.records if record.name == LOGGER] == []


@pytest.mark.parametrize("outcome", UNEXPECTED)
def test_an_unexpected_exception_is_logged_before_the_regular_path_answers(api, caplog, outcome):
    with caplog.at_level(logging.DEBUG, LOGGER):
        answer = api.get(f"probe/{outcome}")
    assert (answer.status_code, answer.body) == (200, {"path": "regular"})
    (record,) = [record for record in caplog.records if record.name == LOGGER]
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "a compiled read of ProbeViewSet.retrieve failed"
    assert record.exc_info is not None
    assert record.exc_info[1] is UNEXPECTED[outcome]


def test_an_error_on_the_fast_path_proves_nothing(api):
    ApiKey.objects.all().delete()
    assert api.get("probe/runtime").status_code == 401
