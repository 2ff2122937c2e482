"""What web processes announce to the relay, and when they withdraw it."""

import pytest

from coderproj.identity import tokens
from templates_app.agents.coordination.rooms import GOING_AWAY, POLICY
from templates_app.agents.models import RelayPeer
from tests.templates_app.agents.callers import Socket
from tests.templates_app.agents.relay.test_relay_command import (
    URL,
    announcer_of,
    coordinating,
    key_node,
    keys,  # noqa: F401 - a fixture
    rows,
)
from tests.templates_app.agents.test_coordination import coordinator_of, run_on
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


def test_two_processes_with_one_key_do_not_overwrite_each_other(live_api, other, token, agent, ada, keys):  # noqa: F811
    """The row is there, of either process. When its socket ends, the other process takes it over within the grace."""

    def renew(api):
        """Return what is to be written."""

        async def work(_):
            await announcer_of(api).renew()
            return set(announcer_of(api)._waiting)

        return run_on(api, work)

    def served_by(api):
        return rows(owner_id=ada.pk, expires_at=None, served_by=coordinator_of(api).number) == 1

    url = f"{other.ws_url}/api/v2/workspaceagents/{agent.pk}/coordinate"
    with coordinating(live_api, token, agent, ada, keys):
        wait_until(lambda: served_by(live_api))
        with Socket(url, tokens.issue(user=ada)[1]) as second:
            second.send(key_node(2, keys[1]))
            wait_until(lambda: served_by(other))
            assert [renew(live_api), renew(other), renew(live_api)] == [set()] * 3
            assert served_by(other)
        wait_until(lambda: rows(owner_id=ada.pk, expires_at__isnull=False) == 1)
        assert len(renew(live_api)) == 1
        wait_until(lambda: served_by(live_api))
        assert rows() == 2
