"""Converting plan and graph to resources with their agents, without leaking secrets."""

import pytest

from provisioning.engine.base import (
    EngineError,
    PlanResult,
)
from provisioning.engine.plan import plan_result

from .plan_builder import AGENT, agents_of, dot, instance, module, plan


# ---------------------------------------------------------------------- resources and agents
def test_an_empty_plan_has_an_empty_result() -> None:
    assert plan_result({}, "") == PlanResult()
    assert plan_result(plan({}), "digraph {}") == PlanResult()


def test_every_field_of_an_agent_is_read() -> None:
    values = AGENT | {
        "dir": "/home",
        "env": {"A": "1"},
        "startup_script": "echo",
        "connection_timeout": 120,
        "startup_script_timeout": 300,
        "login_before_ready": False,
        "troubleshooting_url": "https://help",
        "motd_file": "/etc/motd",
        "shutdown_script": "make down",
        "shutdown_script_timeout": 60,
    }
    result = plan_result(
        plan(module(instance("coder_agent.dev", values), instance("docker_container.c"))),
        dot("docker_container.c -> coder_agent.dev"),
    )
    (agent,) = result.resources[0].agents
    assert (agent.name, agent.operating_system, agent.architecture) == ("dev", "linux", "amd64")
    assert (agent.directory, agent.environment, agent.startup_script) == ("/home", {"A": "1"}, "echo")
    assert (agent.connection_timeout_seconds, agent.startup_script_timeout_seconds) == (120, 300)
    assert (agent.login_before_ready, agent.auth, agent.auth_token) == (False, "token", "")
    assert (agent.troubleshooting_url, agent.motd_file) == ("https://help", "/etc/motd")
    assert (agent.shutdown_script, agent.shutdown_script_timeout_seconds) == ("make down", 60)


def test_unset_fields_of_an_agent_have_defaults() -> None:
    unset = dict.fromkeys(("dir", "env", "startup_script", "connection_timeout", "login_before_ready", "motd_file"))
    result = plan_result(
        plan(module(instance("coder_agent.dev", AGENT | unset), instance("x.y"))), dot("x.y -> coder_agent.dev")
    )
    (agent,) = result.resources[0].agents
    assert (agent.directory, agent.environment, agent.startup_script, agent.motd_file) == ("", {}, "", "")
    assert agent.connection_timeout_seconds == 0
    assert agent.login_before_ready is True


@pytest.mark.parametrize(("behavior", "expected"), [("blocking", False), ("non-blocking", True), (None, True)])
def test_startup_script_behavior_sets_login_before_ready(behavior: str | None, expected: bool) -> None:
    values = AGENT | {"startup_script_behavior": behavior}
    result = plan_result(
        plan(module(instance("coder_agent.dev", values), instance("x.y"))), dot("x.y -> coder_agent.dev")
    )
    assert result.resources[0].agents[0].login_before_ready is expected


def test_an_agent_belongs_to_its_nearest_dependant() -> None:
    result = plan_result(
        plan(module(instance("coder_agent.dev"), instance("null_resource.a"), instance("null_resource.b"))),
        dot("null_resource.b -> null_resource.a -> local.token -> coder_agent.dev"),
    )
    assert agents_of(result) == {"null_resource.a": ["dev"], "null_resource.b": []}


def test_of_equally_near_resources_the_first_label_gets_the_agent() -> None:
    result = plan_result(
        plan(module(instance("coder_agent.dev"), instance("null_resource.second"), instance("null_resource.first"))),
        dot("null_resource.second -> coder_agent.dev", "null_resource.first -> coder_agent.dev"),
    )
    assert agents_of(result) == {"null_resource.first": ["dev"], "null_resource.second": []}


def test_agents_of_one_resource_are_sorted_by_name() -> None:
    names = ("c", "a", "b")
    result = plan_result(
        plan(module(*(instance(f"coder_agent.{name}") for name in names), instance("null_resource.x"))),
        dot(*(f"null_resource.x -> coder_agent.{name}" for name in names)),
    )
    assert agents_of(result) == {"null_resource.x": ["a", "b", "c"]}


def test_an_agent_passed_to_a_module_belongs_to_its_resource() -> None:
    inner = module(instance("module.vm[0].null_resource.x"), address="module.vm[0]")
    result = plan_result(
        plan(module(instance("coder_agent.dev"), children=(inner,))),
        dot("module.vm.null_resource.x -> module.vm.var.script -> coder_agent.dev"),
    )
    assert agents_of(result) == {"null_resource.x": ["dev"]}


def test_an_agent_that_nothing_depends_on_is_dropped() -> None:
    result = plan_result(
        plan(module(instance("coder_agent.dev"), instance("null_resource.x"))),
        dot("null_resource.x -> local.y", nodes=("coder_agent.dev",)),
    )
    assert agents_of(result) == {"null_resource.x": []}


def test_an_agent_that_is_not_in_the_graph_is_an_error() -> None:
    with pytest.raises(EngineError, match='agent "dev" is missing from the dependency graph'):
        plan_result(plan(module(instance("coder_agent.dev"))), dot("a -> b"))


def test_two_agents_with_the_same_name_are_an_error() -> None:
    inner = module(instance("module.m.coder_agent.dev"), address="module.m")
    with pytest.raises(EngineError, match='two agents are named "dev"'):
        plan_result(plan(module(instance("coder_agent.dev"), children=(inner,))), "")


def test_resources_are_sorted_by_name_and_type() -> None:
    addresses = ("b_type.same", "a_type.same", "a_type.other")
    inner = module(instance("module.m.a_type.same"), address="module.m")
    result = plan_result(plan(module(*map(instance, addresses), children=(inner,))), "")
    assert [(r.name, r.type) for r in result.resources] == [
        ("other", "a_type"),
        ("same", "a_type"),
        ("same", "a_type"),
        ("same", "b_type"),
    ]


def test_coder_resources_and_data_sources_are_left_out() -> None:
    own = ("coder_app.a", "coder_metadata.m", "coder_agent_instance.i", "coder_script.s", "coder_env.e")
    values = {"coder_app.a": {"slug": "a"}}
    result = plan_result(
        plan(module(*(instance(address, values.get(address)) for address in own), instance("data.aws_ami.x"))), ""
    )
    assert result.resources == ()


def test_resources_of_the_prior_state_are_left_out() -> None:
    prior = module(instance("docker_container.old"), instance("data.coder_parameter.p", {"name": "p"}))
    result = plan_result(plan(module(instance("docker_volume.home")), prior=prior), "")
    assert agents_of(result) == {"docker_volume.home": []}
    assert [parameter.name for parameter in result.rich_parameters] == ["p"]


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        ("google_compute_instance", "machine_type"),
        ("aws_instance", "instance_type"),
        ("aws_spot_instance_request", "instance_type"),
        ("azurerm_linux_virtual_machine", "size"),
        ("azurerm_windows_virtual_machine", "size"),
    ],
)
def test_machines_have_instance_types(kind: str, attribute: str) -> None:
    result = plan_result(plan(module(instance(f"{kind}.vm", {attribute: "big"}), instance(f"{kind}.unknown"))), "")
    assert [resource.instance_type for resource in result.resources] == ["", "big"]


# ---------------------------------------------------------------------- secrets
def test_sensitive_values_do_not_leak() -> None:
    agent = AGENT | {
        "env": {"OPEN": "1", "SECRET": "hush"},
        "startup_script": "echo hush",
        "dir": "hush",
        "token": "hush",
    }
    agent_marks = {"env": {"SECRET": True}, "startup_script": True, "dir": True, "token": True}
    app = {"slug": "a", "url": "http://hush", "command": "hush", "healthcheck": [{"url": "hush", "interval": 1}]}
    app_marks = {"url": True, "command": True, "healthcheck": [{"url": True}]}
    parameter = {"name": "p", "default": "hush", "value": "hush", "option": [{"name": "n", "value": "hush"}]}
    parameter_marks = {"default": True, "option": [{"value": True}]}
    result = plan_result(
        plan(
            module(
                instance("coder_agent.dev", agent, agent_marks),
                instance("coder_app.a", app, app_marks),
                instance("aws_instance.vm", {"instance_type": "hush"}, {"instance_type": True}),
            ),
            prior=module(instance("data.coder_parameter.p", parameter, parameter_marks)),
        ),
        dot("aws_instance.vm -> coder_agent.dev"),
    )
    assert "hush" not in repr(result)
    found = result.resources[0].agents[0]
    assert found.environment == {"OPEN": "1", "SECRET": "(sensitive value)"}
    assert found.startup_script == "(sensitive value)"
    assert result.rich_parameters[0].default_value == ""


@pytest.mark.parametrize("marks", [True, {"env": True}])
def test_an_entirely_sensitive_map_keeps_its_keys(marks: object) -> None:
    result = plan_result(
        plan(module(instance("coder_agent.dev", {"env": {"K": "hush"}}, marks), instance("x.y"))),
        dot("x.y -> coder_agent.dev"),
    )
    assert result.resources[0].agents[0].environment == {"K": "(sensitive value)"}
