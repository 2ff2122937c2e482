"""Valid and invalid requests generated from the OpenAPI schema: none may cause a 5xx status.

The requests are the same in every run, so failures are reproducible. Most paths use ids of existing objects. Each
request is rolled back.
"""

from collections.abc import Iterator

import pytest
import schemathesis
import yaml
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from coderproj.identity import tokens
from tests.contract.described import DOCUMENT
from tests.world import World, rolled_back_world

EXAMPLES = 6  # per operation, valid and invalid together
# The file, because every process of a run reads it, and generating it takes long. `make check` compares both.
DESCRIPTION = schemathesis.openapi.from_dict(yaml.load(DOCUMENT.read_text(), yaml.CSafeLoader))
DESCRIPTION.app = WSGIHandler()
ARCHIVES = "POST /api/v2/files"  # archives have their own tests
OPERATIONS = {
    operation.label: operation
    for operation in (found.ok() for found in DESCRIPTION.get_all_operations())
    if operation.label != ARCHIVES
}


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker) -> Iterator[World]:
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)  # it would end the transaction
    with django_db_blocker.unblock(), rolled_back_world(1) as created:
        yield created
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.django_db
@pytest.mark.parametrize("label", OPERATIONS)
def test_generated_requests_cause_no_server_error(label: str, world: World):
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
        existing=st.sampled_from([True, True, True, False]),
    )
    def send(case: schemathesis.Case, existing: bool) -> None:
        if existing:
            case.path_parameters = {name: world.values.get(name, value) for name, value in case.path_parameters.items()}
        with transaction.atomic():
            answer = case.call(headers={"Coder-Session-Token": token})
            transaction.set_rollback(True)
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.text}"

    send()
