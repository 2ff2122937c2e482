"""From plan and graph to resources, agents, apps, metadata and rich parameters."""

import pytest

from provisioning.engine.base import (
    App,
    AppHealthcheck,
    EngineError,
    PlanResult,
    ResourceMetadata,
    RichParameter,
    RichParameterOption,
)
from provisioning.engine.hcl import Module
from provisioning.engine.plan import plan_result, state_result

from .plan_builder import configured, dot, instance, module, plan

AGENT = {"os": "linux", "arch": "amd64", "auth": "token"}


def agents_of(result: PlanResult) -> dict[str, list[str]]:
    """Names of agents by ``type.name`` of their resource."""
    return {f"{r.type}.{r.name}": [agent.name for agent in r.agents] for r in result.resources}


def apps_of(result: PlanResult) -> dict[str, list[str]]:
    """Slugs by agent name."""
    return {agent.name: [app.slug for app in agent.apps] for r in result.resources for agent in r.agents}


# ---------------------------------------------------------------------- resources and agents
def test_an_empty_plan_has_nothing() -> None:
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
def test_newer_templates_say_the_same_with_a_behavior(behavior: str | None, expected: bool) -> None:
    values = AGENT | {"startup_script_behavior": behavior}
    result = plan_result(
        plan(module(instance("coder_agent.dev", values), instance("x.y"))), dot("x.y -> coder_agent.dev")
    )
    assert result.resources[0].agents[0].login_before_ready is expected


def test_chaining_the_nearest_dependant_wins() -> None:
    result = plan_result(
        plan(module(instance("coder_agent.dev"), instance("null_resource.a"), instance("null_resource.b"))),
        dot("null_resource.b -> null_resource.a -> local.token -> coder_agent.dev"),
    )
    assert agents_of(result) == {"null_resource.a": ["dev"], "null_resource.b": []}


def test_conflicting_the_smallest_label_wins() -> None:
    result = plan_result(
        plan(module(instance("coder_agent.dev"), instance("null_resource.second"), instance("null_resource.first"))),
        dot("null_resource.second -> coder_agent.dev", "null_resource.first -> coder_agent.dev"),
    )
    assert agents_of(result) == {"null_resource.first": ["dev"], "null_resource.second": []}


def test_multiple_agents_on_one_resource_are_sorted_by_name() -> None:
    names = ("c", "a", "b")
    result = plan_result(
        plan(module(*(instance(f"coder_agent.{name}") for name in names), instance("null_resource.x"))),
        dot(*(f"null_resource.x -> coder_agent.{name}" for name in names)),
    )
    assert agents_of(result) == {"null_resource.x": ["a", "b", "c"]}


def test_calling_module_the_agent_belongs_to_the_resource_in_the_module() -> None:
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


def test_an_agent_outside_of_the_graph_is_an_error() -> None:
    with pytest.raises(EngineError, match='agent "dev" is missing from the dependency graph'):
        plan_result(plan(module(instance("coder_agent.dev"))), dot("a -> b"))


def test_two_agents_of_one_name_are_an_error() -> None:
    inner = module(instance("module.m.coder_agent.dev"), address="module.m")
    with pytest.raises(EngineError, match='two agents are named "dev"'):
        plan_result(plan(module(instance("coder_agent.dev"), children=(inner,))), "")


def test_instances_of_count_and_for_each_are_one_resource() -> None:
    result = plan_result(
        plan(
            module(
                instance("coder_agent.dev[0]"),
                instance("docker_container.c[0]"),
                instance("docker_container.c[1]"),
                instance('docker_volume.v["a.b"]'),
            )
        ),
        dot("docker_container.c -> coder_agent.dev"),
    )
    assert agents_of(result) == {"docker_container.c": ["dev"], "docker_volume.v": []}


def test_resources_are_sorted_by_name_and_type_and_may_share_either() -> None:
    addresses = ("b_type.same", "a_type.same", "a_type.other")
    inner = module(instance("module.m.a_type.same"), address="module.m")
    result = plan_result(plan(module(*map(instance, addresses), children=(inner,))), "")
    assert [(r.name, r.type) for r in result.resources] == [
        ("other", "a_type"),
        ("same", "a_type"),
        ("same", "a_type"),
        ("same", "b_type"),
    ]


def test_the_coder_providers_own_resources_and_data_sources_are_no_resources() -> None:
    own = ("coder_app.a", "coder_metadata.m", "coder_agent_instance.i", "coder_script.s", "coder_env.e")
    values = {"coder_app.a": {"slug": "a"}}
    result = plan_result(
        plan(module(*(instance(address, values.get(address)) for address in own), instance("data.aws_ami.x"))), ""
    )
    assert result.resources == ()


def test_resources_that_are_about_to_go_away_are_left_out() -> None:
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
def test_instance_types_of_machines(kind: str, attribute: str) -> None:
    result = plan_result(plan(module(instance(f"{kind}.vm", {attribute: "big"}), instance(f"{kind}.unknown"))), "")
    assert [resource.instance_type for resource in result.resources] == ["", "big"]


# ---------------------------------------------------------------------- apps
def app_plan(*apps, agents=("main", "second"), edges=(), children=(), calls=None, planned_agents=None):
    """Agents, each used by a resource of its own name, and apps as (address, agent_id references, for_each)."""
    planned = [instance(f"coder_agent.{name}") for name in (agents if planned_agents is None else planned_agents)]
    planned += [instance(f"null_resource.{name}") for name in agents]
    planned += [instance(address, {"slug": address.split(".")[-1].partition("[")[0]}) for address, *_ in apps]
    configuration = {
        "resources": [configured(f"coder_agent.{name}") for name in agents]
        + [
            configured(address.partition("[")[0], agent_id=references, for_each=rest[0] if rest else None)
            for address, references, *rest in apps
        ],
        "module_calls": calls or {},
    }
    graph = dot(*(f"null_resource.{name} -> coder_agent.{name}" for name in agents), *edges)
    return plan(module(*planned, children=children), configuration), graph


def test_every_field_of_an_app_is_read() -> None:
    values = {
        "slug": "code",
        "display_name": "Code",
        "name": "ignored",
        "url": "http://localhost",
        "icon": "/icon/code.svg",
        "subdomain": True,
        "external": True,
        "share": "PUBLIC",
        "healthcheck": [{"url": "http://localhost/ok", "interval": 5, "threshold": 6}],
    }
    result = plan_result(
        plan(module(instance("coder_agent.dev"), instance("coder_app.a", values), instance("x.y"))),
        dot("x.y -> coder_agent.dev"),
    )
    assert result.resources[0].agents[0].apps == (
        App(
            slug="code",
            display_name="Code",
            url="http://localhost",
            icon="/icon/code.svg",
            subdomain=True,
            external=True,
            sharing_level="public",
            healthcheck=AppHealthcheck("http://localhost/ok", 5, 6),
        ),
    )


@pytest.mark.parametrize(
    ("values", "slug", "display_name"),
    [
        ({}, "a", "a"),
        ({"slug": "s"}, "s", "s"),
        ({"slug": "s", "name": "Old"}, "s", "Old"),
        ({"name": "Old", "display_name": "New"}, "a", "New"),
    ],
)
def test_slugs_and_display_names_have_defaults(values: dict[str, str], slug: str, display_name: str) -> None:
    unset = {"healthcheck": [], "share": None, "command": None, "subdomain": None}
    result = plan_result(
        plan(module(instance("coder_agent.dev"), instance("coder_app.a", unset | values), instance("x.y"))),
        dot("x.y -> coder_agent.dev"),
    )
    assert result.resources[0].agents[0].apps == (App(slug=slug, display_name=display_name),)


def test_each_app_goes_to_its_own_agent() -> None:
    plan_json, graph = app_plan(
        ("coder_app.b", ["coder_agent.main.id", "coder_agent.main"]),
        ("coder_app.a[0]", ["coder_agent.main[0].id", "coder_agent.main[0]", "coder_agent.main"]),
        ("coder_app.c", ["coder_agent.second.id", "coder_agent.second"]),
    )
    assert apps_of(plan_result(plan_json, graph)) == {"main": ["a", "b"], "second": ["c"]}


def test_apps_find_their_agent_through_locals_outputs_and_for_each() -> None:
    inner = module(instance("module.m.coder_agent.third"), address="module.m")
    call = {"m": {"module": {"resources": [configured("coder_agent.third")]}}}
    plan_json, graph = app_plan(
        ("coder_app.by-local", ["local.agent"]),
        ("coder_app.by-output", ["module.m.agent_id", "module.m"]),
        ('coder_app.by-each["x"]', ["each.value"], ["local.agents"]),
        edges=(
            "local.agent -> coder_agent.second",
            "local.agents -> local.agent",
            "module.m.output.agent_id -> module.m.coder_agent.third",
            "null_resource.main -> module.m.coder_agent.third",
        ),
        children=(inner,),
        calls=call,
    )
    assert apps_of(plan_result(plan_json, graph)) == {
        "main": [],
        "second": ["by-each", "by-local"],
        "third": ["by-output"],
    }


def test_an_app_in_a_module_finds_the_agent_that_it_was_given() -> None:
    inner = module(instance('module.code["x"].coder_app.editor', {"slug": "editor"}), address='module.code["x"]')
    call = {"code": {"module": {"resources": [configured("coder_app.editor", agent_id=["var.agent_id"])]}}}
    plan_json, graph = app_plan(
        children=(inner,), calls=call, edges=("module.code.var.agent_id -> coder_agent.second",)
    )
    assert apps_of(plan_result(plan_json, graph)) == {"main": [], "second": ["editor"]}


def test_an_app_whose_agent_is_not_planned_is_dropped() -> None:
    plan_json, graph = app_plan(
        ("coder_app.a", ["coder_agent.second.id", "coder_agent.second"]), planned_agents=("main",)
    )
    assert apps_of(plan_result(plan_json, graph)) == {"main": []}


def test_of_two_possible_agents_the_planned_one_is_taken() -> None:
    references = ["coder_agent.main.id", "coder_agent.main", "coder_agent.second.id", "coder_agent.second"]
    plan_json, graph = app_plan(("coder_app.a", references), planned_agents=("second",))
    assert apps_of(plan_result(plan_json, graph)) == {"second": ["a"]}


def test_an_app_without_references_goes_to_the_only_agent() -> None:
    plan_json, graph = app_plan(("coder_app.a", []), agents=("main",))
    assert apps_of(plan_result(plan_json, graph)) == {"main": ["a"]}


def test_an_app_without_references_goes_to_its_modules_agents_or_is_an_error() -> None:
    inner = module(
        instance("module.m.coder_app.a"),
        instance("module.m.coder_agent.inner"),
        instance("module.m.null_resource.inner"),
        address="module.m",
    )
    edges = ("module.m.null_resource.inner -> module.m.coder_agent.inner",)
    plan_json, graph = app_plan(children=(inner,), edges=edges)
    assert apps_of(plan_result(plan_json, graph)) == {"main": [], "second": [], "inner": ["a"]}

    stranger = module(instance("module.m.coder_app.a"), address="module.m")
    plan_json, graph = app_plan(children=(stranger,))
    with pytest.raises(EngineError, match='which agent app "a" belongs to: main, second'):
        plan_result(plan_json, graph)


@pytest.mark.parametrize("slug", ["Upper", "under_score", "-a", "a-", "a--b", "a b", "é", "a\n"])
def test_an_invalid_slug_is_an_error_that_names_it(slug: str) -> None:
    with pytest.raises(EngineError, match='app "a" has the invalid slug') as caught:
        plan_result(plan(module(instance("coder_app.a", {"slug": slug}))), "")
    assert f'"{slug}"' in str(caught.value)


def test_a_slug_used_twice_is_an_error_that_names_it() -> None:
    apps = (instance("coder_app.a", {"slug": "x"}), instance("coder_app.b", {"slug": "x"}))
    with pytest.raises(EngineError, match='two apps have the slug "x"'):
        plan_result(plan(module(*apps)), "")


# ---------------------------------------------------------------------- metadata
def test_metadata_describes_its_resource() -> None:
    values = {
        "hide": True,
        "icon": "/icon/disk.svg",
        "daily_cost": 29,
        "item": [
            {"key": "size", "value": "10 GB", "sensitive": False},
            {"key": "token", "value": "secret", "sensitive": True},
            {"key": "hidden", "value": "secret", "sensitive": False},
            {"key": "unknown", "sensitive": False},
            {"key": "null", "value": None, "is_null": True},
        ],
    }
    marks = {"item": [{}, {}, {"value": True}, {}, {}]}
    result = plan_result(
        plan(module(instance("null_resource.x"), instance("coder_metadata.m", values, marks))),
        dot("coder_metadata.m -> null_resource.x"),
    )
    (resource,) = result.resources
    assert (resource.hide, resource.icon, resource.daily_cost) == (True, "/icon/disk.svg", 29)
    assert resource.metadata == (
        ResourceMetadata("size", "10 GB"),
        ResourceMetadata("token", None, sensitive=True),
        ResourceMetadata("hidden", None, sensitive=True),
        ResourceMetadata("unknown", None),
    )


def test_metadata_goes_to_the_nearest_resource_of_several_types_with_one_name() -> None:
    kinds = ("kubernetes_config_map", "kubernetes_role", "kubernetes_service")
    result = plan_result(
        plan(
            module(
                *(instance(f"{kind}.coder") for kind in kinds),
                instance("coder_metadata.m", {"icon": "i", "item": []}),
            )
        ),
        dot("coder_metadata.m -> kubernetes_role.coder -> kubernetes_config_map.coder"),
    )
    assert {r.type: r.icon for r in result.resources} == {
        "kubernetes_config_map": "",
        "kubernetes_role": "i",
        "kubernetes_service": "",
    }


def test_metadata_follows_resource_id_even_when_an_item_reads_another_resource() -> None:
    planned = module(instance("a.a"), instance("b.b"), instance("coder_metadata.m", {"icon": "i"}))
    configuration = {
        "resources": [
            configured("a.a"),
            configured("b.b"),
            configured("coder_metadata.m", resource_id=["b.b.id", "b.b"], item=[{"value": {"references": ["a.a.x"]}}]),
        ]
    }
    result = plan_result(plan(planned, configuration), dot("coder_metadata.m -> a.a", "coder_metadata.m -> b.b"))
    assert {r.type: r.icon for r in result.resources} == {"a": "", "b": "i"}


def test_metadata_of_a_resource_that_is_not_planned_is_ignored() -> None:
    planned = module(instance("a.a"), instance("coder_metadata.m", {"icon": "i"}))
    configuration = {"resources": [configured("b.b"), configured("coder_metadata.m", resource_id=["b.b.id", "b.b"])]}
    result = plan_result(plan(planned, configuration), dot("coder_metadata.m -> b.b -> a.a"))
    assert result.resources[0].icon == ""


def test_metadata_without_a_node_or_a_resource_is_ignored() -> None:
    planned = module(instance("a.a"), instance("coder_metadata.m", {"icon": "i"}))
    assert plan_result(plan(planned), dot("x -> y")).resources[0].icon == ""


def test_a_metadata_key_used_twice_on_one_resource_is_an_error() -> None:
    planned = module(
        instance("a.a"),
        instance("coder_metadata.m", {"item": [{"key": "k", "value": "1"}]}),
        instance("coder_metadata.n", {"item": [{"key": "k", "value": "2"}]}),
    )
    with pytest.raises(EngineError, match=r'the metadata of a\.a has "k" twice'):
        plan_result(plan(planned), dot("coder_metadata.m -> a.a", "coder_metadata.n -> a.a"))


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
def test_a_map_that_is_sensitive_as_a_whole_keeps_its_keys(marks: object) -> None:
    result = plan_result(
        plan(module(instance("coder_agent.dev", {"env": {"K": "hush"}}, marks), instance("x.y"))),
        dot("x.y -> coder_agent.dev"),
    )
    assert result.resources[0].agents[0].environment == {"K": "(sensitive value)"}


# ---------------------------------------------------------------------- rich parameters
def parameters(*entries, configuration=None, order=()) -> tuple[RichParameter, ...]:
    prior = module(*(instance(f"data.coder_parameter.{name}", values) for name, values in entries))
    return plan_result(plan({}, configuration, prior), "", Module(parameter_order=order)).rich_parameters


def test_every_field_of_a_parameter_is_read() -> None:
    values = {
        "name": "Size",
        "type": "number",
        "description": "GB",
        "mutable": True,
        "default": "10",
        "icon": "/icon/disk.svg",
        "option": [{"name": "Ten", "value": "10", "description": None, "icon": "/icon/ten.svg"}],
        "validation": [{"min": 1, "max": 100, "regex": None, "error": "1 to 100", "monotonic": "increasing"}],
    }
    assert parameters(("size", values)) == (
        RichParameter(
            name="Size",
            type="number",
            description="GB",
            mutable=True,
            default_value="10",
            icon="/icon/disk.svg",
            options=(RichParameterOption("Ten", "10", icon="/icon/ten.svg"),),
            validation_error="1 to 100",
            validation_min=1,
            validation_max=100,
            validation_monotonic="increasing",
        ),
    )


def test_a_parameter_without_a_default_is_required() -> None:
    found = parameters(("a", {"name": "a", "default": None}), ("b", {"name": "b", "default": ""}))
    assert [parameter.default_value for parameter in found] == [None, ""]


@pytest.mark.parametrize(
    ("rules", "set_in_source", "expected"),
    [
        ({"min": 0, "max": 5}, None, (0, 5)),
        ({"min": None, "max": 5}, None, (None, 5)),
        ({"min": 0, "max": 5}, {"max": {}}, (None, 5)),
        ({"min": 0, "max": 0}, {"regex": {}, "error": {}}, (None, None)),
        ({"min": 0, "max": 0}, {"min": {}, "max": {}}, (0, 0)),
        ({"min": 0, "max": 0, "min_disabled": True, "max_disabled": True}, None, (None, None)),
        ({"min": -(1 << 40), "max": 1 << 40}, None, (-(1 << 31), (1 << 31) - 1)),
    ],
)
def test_bounds_that_nobody_set_are_absent(rules, set_in_source, expected) -> None:
    source = [configured("data.coder_parameter.p", validation=[set_in_source])] if set_in_source else []
    (parameter,) = parameters(("p", {"name": "p", "validation": [rules]}), configuration={"resources": source})
    assert (parameter.validation_min, parameter.validation_max) == expected


def test_parameters_come_in_source_order_then_by_name() -> None:
    entries = [(name, {"name": f"n-{name}"}) for name in ("a", "b", "c", "d")]
    order = ("data.coder_parameter.c", "data.coder_parameter.a")
    assert [p.name for p in parameters(*entries, order=order)] == ["n-c", "n-a", "n-b", "n-d"]
    assert [p.name for p in parameters(*reversed(entries))] == ["n-a", "n-b", "n-c", "n-d"]


def test_two_parameters_of_one_name_are_an_error() -> None:
    with pytest.raises(EngineError, match='two parameters are named "same"'):
        parameters(("a", {"name": "same"}), ("b", {"name": "same"}))


# ---------------------------------------------------------------------- state
def state(*resources) -> dict:
    return {"values": {"root_module": module(*resources)}}


def test_a_state_has_tokens_ids_and_values() -> None:
    result = state_result(
        state(
            instance(
                "coder_agent.a", AGENT | {"id": "1", "token": "t", "startup_script": "hush"}, {"startup_script": True}
            ),
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
def test_machines_identify_themselves(kind: str, attribute: str) -> None:
    result = state_result(
        state(
            instance("coder_agent.a", {"id": "1", "auth": "instance-identity", "token": "t"}),
            instance(f"{kind}.vm", {attribute: "i-1"}),
        ),
        dot(f"{kind}.vm -> coder_agent.a"),
    )
    (agent,) = result.resources[0].agents
    assert (agent.instance_id, agent.auth_token) == ("i-1", "")


def test_an_instance_id_given_by_the_template_wins_and_token_agents_have_none() -> None:
    link = instance("coder_agent_instance.l", {"agent_id": "1", "instance_id": "given"})
    for auth, expected in (("aws-instance-identity", "given"), ("token", "")):
        result = state_result(
            state(
                instance("coder_agent.a", {"id": "1", "auth": auth}), link, instance("aws_instance.vm", {"id": "own"})
            ),
            dot("aws_instance.vm -> coder_agent.a"),
        )
        assert result.resources[0].agents[0].instance_id == expected
