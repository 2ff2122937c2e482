"""What web processes announce to the relay, and when they withdraw it."""

import pytest

from templates_app.agents.coordination.rooms import GOING_AWAY, POLICY
from templates_app.agents.models import RelayPeer
from tests.templates_app.agents.relay.test_relay_command import (
    URL,
    announcer_of,
    coordinating,
    keys,  # noqa: F401 - a fixture
    rows,
)
from tests.templates_app.agents.test_coordination import run_on
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _with_relay(settings):
    settings.RELAY_URL = URL


@pytest.mark.parametrize("closes_before", [False, True], ids=["open", "closing already"])
def test_a_lost_right_is_withdrawn_before_the_socket_has_closed(live_api, token, agent, ada, keys, closes_before):  # noqa: F811
    """A client that reads nothing delays the end of its socket. What it announces meanwhile is ignored."""
    announcer = announcer_of(live_api)

    async def lose(coordinator):
        """Everything in one step of the event loop: the socket cannot have closed."""
        (client,) = coordinator.rooms[agent.pk].clients.values()
        if closes_before:
            client.close(GOING_AWAY, "Closes.")
        client.close(POLICY, "Lost.", lost_right=True)
        announcer.announce(client, agent_id=agent.pk, owner_id=ada.pk, node=client.node)
        return client.id in announcer._announced, announcer._ended[client.id]

    with coordinating(live_api, token, agent, ada, keys):
        wait_until(lambda: rows(expires_at=None) == 2)
        assert run_on(live_api, lose) == (False, True)
        wait_until(lambda: rows() == 1)
        assert RelayPeer.objects.get().owner_id == agent.pk
