"""Converting plan and graph to apps, each with its agent."""

import pytest

from provisioning.engine.base import (
    App,
    AppHealthcheck,
    EngineError,
)
from provisioning.engine.plan import plan_result

from .plan_builder import apps_of, configured, dot, instance, module, plan


def app_plan(*apps, agents=("main", "second"), edges=(), children=(), calls=None, planned_agents=None):
    """Agents, each used by a resource with the same name, and apps as (address, agent_id references, for_each)."""
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


def test_each_app_is_assigned_to_its_agent() -> None:
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


def test_an_app_in_a_module_finds_the_agent_passed_to_it() -> None:
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


def test_of_two_possible_agents_the_planned_one_is_used() -> None:
    references = ["coder_agent.main.id", "coder_agent.main", "coder_agent.second.id", "coder_agent.second"]
    plan_json, graph = app_plan(("coder_app.a", references), planned_agents=("second",))
    assert apps_of(plan_result(plan_json, graph)) == {"second": ["a"]}


@pytest.mark.parametrize(
    ("references", "edges"),
    [
        (["coder_agent.main.id", "coder_agent.main", "coder_agent.second.id", "coder_agent.second"], ()),
        (["coder_agent.main.id", "coder_agent.main", "local.other"], ("local.other -> local.b -> coder_agent.second",)),
        (["module.m.agent_id", "module.m"], ("module.m.output.agent_id -> coder_agent.main",
                                             "module.m.output.agent_id -> coder_agent.second")),
    ],
)  # fmt: skip
def test_an_app_whose_agent_is_not_known_belongs_to_all_candidates(
    references: list[str], edges: tuple[str, ...]
) -> None:
    plan_json, graph = app_plan(("coder_app.a", references), edges=edges)
    warnings: list[str] = []
    assert apps_of(plan_result(plan_json, graph, warn=warnings.append)) == {"main": ["a"], "second": ["a"]}
    assert warnings == ['the agent of app "a" is known only after an apply, it is one of: main, second']


def test_the_condition_that_chooses_an_agent_is_not_a_candidate() -> None:
    references = ["data.x.size", "data.x", "coder_agent.main.id", "coder_agent.main"]
    plan_json, graph = app_plan(("coder_app.a", references), edges=("data.x.size -> coder_agent.second",))
    assert apps_of(plan_result(plan_json, graph)) == {"main": ["a"], "second": []}


def test_an_app_without_references_is_assigned_to_the_only_agent() -> None:
    plan_json, graph = app_plan(("coder_app.a", []), agents=("main",))
    assert apps_of(plan_result(plan_json, graph)) == {"main": ["a"]}


def test_an_app_without_references_needs_an_agent_in_its_module() -> None:
    inner = module(
        instance("module.m.coder_app.a"),
        instance("module.m.coder_agent.inner"),
        instance("module.m.null_resource.inner"),
        address="module.m",
    )
    edges = ("module.m.null_resource.inner -> module.m.coder_agent.inner",)
    plan_json, graph = app_plan(children=(inner,), edges=edges)
    assert apps_of(plan_result(plan_json, graph)) == {"main": [], "second": [], "inner": ["a"]}

    without_agent = module(instance("module.m.coder_app.a"), address="module.m")
    plan_json, graph = app_plan(children=(without_agent,))
    with pytest.raises(EngineError, match='which agent app "a" belongs to: main, second'):
        plan_result(plan_json, graph)


@pytest.mark.parametrize("slug", ["Upper", "under_score", "-a", "a-", "a--b", "a b", "é", "a\n"])
def test_an_invalid_slug_is_an_error_with_the_slug(slug: str) -> None:
    with pytest.raises(EngineError, match='app "a" has the invalid slug') as caught:
        plan_result(plan(module(instance("coder_app.a", {"slug": slug}))), "")
    assert f'"{slug}"' in str(caught.value)


def test_a_duplicate_slug_is_an_error_with_the_slug() -> None:
    apps = (instance("coder_app.a", {"slug": "x"}), instance("coder_app.b", {"slug": "x"}))
    with pytest.raises(EngineError, match='two apps have the slug "x"'):
        plan_result(plan(module(*apps)), "")
