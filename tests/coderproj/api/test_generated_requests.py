"""Requests generated from the API's description, sound ones and broken ones: none may end in an error of ours.

They are the same in every run, so a failure comes back. Most paths name what exists, as generated ids find nothing.
Each request is rolled back.
"""

import json
from collections.abc import Iterator

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from coderproj.api.openapi import description
from coderproj.identity import tokens
from tests.world import World, passing_world

EXAMPLES = 6  # of each operation, sound and broken together
DESCRIPTION = schemathesis.openapi.from_dict(json.loads(description()))
DESCRIPTION.app = WSGIHandler()
ARCHIVES = "POST /api/v2/files"  # archives have tests of their own
OPERATIONS = {
    operation.label: operation
    for operation in (found.ok() for found in DESCRIPTION.get_all_operations())
    if operation.label != ARCHIVES
}


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker) -> Iterator[World]:
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)  # which would end the transaction
    with django_db_blocker.unblock(), passing_world(1) as made:
        yield made
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.django_db
@pytest.mark.parametrize("label", OPERATIONS)
def test_no_generated_request_is_an_error_of_ours(label: str, world: World):
    operation = OPERATIONS[label]
    _, token = tokens.issue(user=world.owner)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=st.one_of(*(operation.as_strategy(mode) for mode in GenerationMode)),
        real=st.sampled_from([True, True, True, False]),
    )
    def ask(case: schemathesis.Case, real: bool) -> None:
        if real:
            case.path_parameters = {name: world.values.get(name, value) for name, value in case.path_parameters.items()}
        with transaction.atomic():
            answer = case.call(headers={"Coder-Session-Token": token})
            transaction.set_rollback(True)
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.text}"

    ask()
