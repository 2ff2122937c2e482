"""Instances of count and for_each in a plan."""

import re

import pytest

from provisioning.engine.base import EngineError
from provisioning.engine.plan import plan_result
from provisioning.engine.plan_instances import instance_keys

from .plan_builder import AGENT, configured, dot, instance, module, plan

IDS = [f"00000000-0000-0000-0000-00000000000{index}" for index in range(4)]


def placed(result):
    return [(r.name, r.instance_key, [(a.name, a.instance_key) for a in r.agents]) for r in result.resources]


@pytest.mark.parametrize(
    ("address", "keys"),
    [
        ("vm.dev", ()),
        ("vm.dev[0]", ("0",)),
        ('module.m["a.b"].vm.dev[10]', ("a.b", "10")),
        (r'vm.dev["say \"]\" $${x}"]', ('say "]" ${x}',)),
        ('vm.dev[""]', ("",)),
    ],
)
def test_keys_of_addresses(address, keys) -> None:
    assert instance_keys(address) == keys


def test_agents_belong_to_the_machines_with_their_keys() -> None:
    addresses = [f"{name}[{index}]" for name in ("coder_agent.main", "vm.dev") for index in range(11)]
    result = plan_result(plan(module(*map(instance, addresses))), dot("vm.dev -> coder_agent.main"))
    assert placed(result) == [("dev", str(index), [("main", str(index))]) for index in range(11)]


def test_instances_of_modules_count() -> None:
    children = tuple(
        module(
            instance(f'module.m["{key}"].coder_agent.main'),
            instance(f'module.m["{key}"].vm.dev[0]'),
            instance(f'module.m["{key}"].vm.dev[1]'),
            address=f'module.m["{key}"]',
        )
        for key in ("eu", "us")
    )
    result = plan_result(plan(module(children=children)), dot("module.m.vm.dev -> module.m.coder_agent.main"))
    assert placed(result) == [
        ("dev", "eu/0", [("main", "eu")]),
        ("dev", "eu/1", []),
        ("dev", "us/0", [("main", "us")]),
        ("dev", "us/1", []),
    ]


def test_a_machine_that_has_the_id_of_an_agent_holds_it() -> None:
    agents = [instance(f'coder_agent.main["{key}"]', {**AGENT, "id": IDS[i]}) for i, key in enumerate("abc")]
    machines = [instance(f"vm.dev[{i}]", {"env": [f"ID={IDS[2 - i]}"]}) for i in range(3)]
    result = plan_result(plan(module(*agents, *machines)), dot("vm.dev -> coder_agent.main"))
    assert placed(result) == [("dev", str(i), [("main", "cba"[i])]) for i in range(3)]


def test_one_machine_holds_all_agents_and_one_agent_has_one_machine() -> None:
    many = [instance(f"coder_agent.main[{i}]") for i in range(3)]
    result = plan_result(plan(module(*many, instance("vm.dev"))), dot("vm.dev -> coder_agent.main"))
    assert placed(result) == [("dev", None, [("main", "0"), ("main", "1"), ("main", "2")])]
    many = [instance(f"vm.dev[{i}]") for i in range(2)]
    result = plan_result(plan(module(instance("coder_agent.main"), *many)), dot("vm.dev -> coder_agent.main"))
    assert placed(result) == [("dev", "0", [("main", None)]), ("dev", "1", [])]


def test_apps_of_instances() -> None:
    agents = [instance(f"coder_agent.main[{i}]", {"id": IDS[i]}) for i in range(2)]
    apps = [instance(f"coder_app.code[{i}]", {"agent_id": IDS[i], "slug": "code"}) for i in range(2)]
    named = [instance(f'coder_app.web["{k}"]', {"agent_id": IDS[0], "slug": k}) for k in ("one", "two", "three")]
    result = plan_result(plan(module(*agents, *apps, *named, instance("vm.dev"))), dot("vm.dev -> coder_agent.main"))
    found = [[(app.slug, app.instance_key) for app in agent.apps] for agent in result.resources[0].agents]
    assert found == [[("code", "0"), ("one", "one"), ("three", "three"), ("two", "two")], [("code", "1")]]


def test_apps_of_unknown_agents_are_matched_by_key() -> None:
    agents = [instance(f"coder_agent.main[{i}]") for i in range(2)]
    apps = [instance(f"coder_app.code[{i}]", {"slug": f"code{i}"}) for i in range(2)]
    last = instance("coder_app.last", {"slug": "last"})
    references = ["coder_agent.main[1].id", "coder_agent.main[1]", "coder_agent.main"]
    configuration = {
        "resources": [
            configured("coder_app.code", agent_id=["coder_agent.main", "count.index"]),
            configured("coder_app.last", agent_id=references),
        ]
    }
    graph = dot(
        "vm.dev -> coder_agent.main", "coder_app.code -> coder_agent.main", "coder_app.last -> coder_agent.main"
    )
    warnings: list[str] = []
    result = plan_result(
        plan(module(*agents, *apps, last, instance("vm.dev")), configuration), graph, warn=warnings.append
    )
    assert [[app.slug for app in agent.apps] for agent in result.resources[0].agents] == [["code0"], ["code1", "last"]]
    assert warnings == []


def test_instances_of_an_app_with_one_slug_and_one_agent_are_an_error() -> None:
    apps = [instance(f"coder_app.code[{i}]", {"agent_id": IDS[0], "slug": "code"}) for i in range(2)]
    agent = instance("coder_agent.main", {"id": IDS[0]})
    with pytest.raises(EngineError, match='two apps have the slug "code"'):
        plan_result(plan(module(agent, *apps, instance("vm.dev"))), dot("vm.dev -> coder_agent.main"))


def described(*metadata, machines=2, **expressions):
    names = {re.sub(r"\[.*", "", entry["address"]) for entry in metadata}
    configuration = {"resources": [configured(name, **expressions) for name in names]}
    vms = [instance(f"vm.dev[{i}]") for i in range(machines)]
    return plan_result(plan(module(*vms, *metadata), configuration), dot(*(f"{name} -> vm.dev" for name in names)))


def test_metadata_of_instances() -> None:
    many = [
        instance(f"coder_metadata.m[{i}]", {"daily_cost": 10 + i, "item": [{"key": "n", "value": str(i)}]})
        for i in range(2)
    ]
    result = described(*many, resource_id=["vm.dev", "count.index"])
    assert [(r.daily_cost, [(m.key, m.value, m.instance_key) for m in r.metadata]) for r in result.resources] == [
        (10, [("n", "0", "0")]),
        (11, [("n", "1", "1")]),
    ]


def test_metadata_of_one_instance_by_its_key() -> None:
    one = instance("coder_metadata.m", {"daily_cost": 7, "item": [{"key": "n", "value": "1"}]})
    result = described(one, resource_id=["vm.dev[1].id", "vm.dev[1]", "vm.dev"])
    assert [r.daily_cost for r in result.resources] == [0, 7]


def test_costs_of_several_instances_on_one_resource_add_up() -> None:
    many = [
        instance(f'coder_metadata.m["{k}"]', {"daily_cost": 5, "item": [{"key": "n", "value": k}]})
        for k in ("a", "b", "c")
    ]
    (resource,) = described(*many, machines=1, resource_id=["vm.dev"]).resources
    assert resource.daily_cost == 15
    assert [(item.value, item.instance_key) for item in resource.metadata] == [("a", "a"), ("b", "b"), ("c", "c")]


def test_parameters_of_instances_keep_the_order_of_the_plan() -> None:
    prior = module(*(instance(f"data.coder_parameter.disk[{i}]", {"name": f"Disk {i}"}) for i in range(11)))
    result = plan_result(plan(module(), prior=prior), "")
    assert [p.name for p in result.rich_parameters] == sorted(f"Disk {i}" for i in range(11))
    source = type("Source", (), {"parameter_order": ("data.coder_parameter.disk",)})()
    result = plan_result(plan(module(), prior=prior), "", source)
    assert [(p.name, p.instance_key) for p in result.rich_parameters] == [(f"Disk {i}", str(i)) for i in range(11)]


def test_thousands_of_instances_are_converted() -> None:
    count = 3000
    entries = [instance(f"{name}[{i}]") for name in ("coder_agent.main", "vm.dev") for i in range(count)]
    result = plan_result(plan(module(*entries)), dot("vm.dev -> coder_agent.main"))
    assert [len(r.agents) for r in result.resources] == [1] * count
