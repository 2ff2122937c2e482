"""Converting a state to resources and agents."""

import pytest

from provisioning.engine.plan import state_result

from .plan_builder import AGENT, dot, instance, state


def test_a_state_has_tokens_ids_and_values() -> None:
    result = state_result(
        state(
            instance("coder_agent.a", AGENT | {"id": "1", "token": "t", "startup_script": "hush"}),
            instance("coder_agent.b", AGENT | {"id": "2", "token": "u"}),
            instance("coder_app.x", {"slug": "x", "agent_id": "2"}),
            instance("docker_container.c", {"id": "c"}),
            instance("docker_container.d", {"id": "d"}),
            instance(
                "coder_metadata.m",
                {"resource_id": "d", "icon": "i", "item": [{"key": "k", "value": "v", "sensitive": True}]},
            ),
        ),
        dot("docker_container.c -> coder_agent.a", "docker_container.c -> coder_agent.b"),
    )
    first, second = result.resources[0].agents
    assert (first.auth_token, first.startup_script, first.apps) == ("t", "hush", ())
    assert (second.auth_token, [app.slug for app in second.apps]) == ("u", ["x"])
    assert (result.resources[1].icon, result.resources[1].metadata[0].value) == ("i", None)


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("google_compute_instance", "instance_id"),
        ("aws_instance", "id"),
        ("aws_spot_instance_request", "spot_instance_id"),
        ("azurerm_linux_virtual_machine", "virtual_machine_id"),
        ("azurerm_windows_virtual_machine", "virtual_machine_id"),
    ],
)
def test_agents_have_the_instance_id_of_their_machine(kind: str, attribute: str) -> None:
    result = state_result(
        state(
            instance("coder_agent.a", {"id": "1", "auth": "instance-identity", "token": "t"}),
            instance(f"{kind}.vm", {attribute: "i-1"}),
        ),
        dot(f"{kind}.vm -> coder_agent.a"),
    )
    (agent,) = result.resources[0].agents
    assert (agent.instance_id, agent.auth_token) == ("i-1", "")


def test_the_templates_instance_id_has_priority_and_token_agents_have_none() -> None:
    link = instance("coder_agent_instance.l", {"agent_id": "1", "instance_id": "given"})
    for auth, expected in (("aws-instance-identity", "given"), ("token", "")):
        result = state_result(
            state(
                instance("coder_agent.a", {"id": "1", "auth": auth}), link, instance("aws_instance.vm", {"id": "own"})
            ),
            dot("aws_instance.vm -> coder_agent.a"),
        )
        assert result.resources[0].agents[0].instance_id == expected
