"""Terraform's dependency graph."""

import pytest

from provisioning.engine.graph import Direction, Graph, reference_nodes, without_instance_keys

DOT = r"""
digraph {
	compound = "true"
	newrank = "true"
	subgraph "root" {
		"[root] coder_agent.main (expand)" [label = "coder_agent.main", shape = "box"]
		"[root] provider[\"registry.terraform.io/coder/coder\"]" [label = "provider", shape = "diamond"]
		"[root] lonely.node (expand)" [label = "lonely.node", shape = "box"]
		"[root] coder_agent.main (expand)" -> "[root] provider[\"registry.terraform.io/coder/coder\"]"
		"[root] local.token (expand)" -> "[root] coder_agent.main (expand)"
		"[root] vm.b (expand)" -> "[root] local.token (expand)"
		"[root] vm.a (expand)" -> "[root] local.token (expand)"
		"[root] dns.name (expand)" -> "[root] vm.a (expand)"
		"[root] module.disk (close)" -> "[root] dns.name (expand)"
	}
}
"""


def test_nodes_and_edges_are_parsed() -> None:
    graph = Graph.parse(DOT)
    for node in (
        "coder_agent.main",
        "lonely.node",
        "module.disk (close)",
        'provider["registry.terraform.io/coder/coder"]',
    ):
        assert node in graph
    assert "digraph" not in graph
    assert "compound" not in graph


def test_the_nearest_dependants_are_found_and_sorted() -> None:
    graph = Graph.parse(DOT)
    targets = {"vm.a", "vm.b", "dns.name"}
    assert graph.nearest(["coder_agent.main"], targets, Direction.DEPENDANTS) == ["vm.a", "vm.b"]
    assert graph.nearest(["coder_agent.main"], {"dns.name"}, Direction.DEPENDANTS) == ["dns.name"]
    assert graph.nearest(["dns.name"], {"coder_agent.main"}, Direction.DEPENDENCIES) == ["coder_agent.main"]


def test_nothing_is_found_in_the_wrong_direction_or_from_unknown_nodes() -> None:
    graph = Graph.parse(DOT)
    assert graph.nearest(["coder_agent.main"], {"vm.a"}, Direction.DEPENDENCIES) == []
    assert graph.nearest(["unknown"], {"vm.a"}, Direction.DEPENDANTS) == []
    assert graph.nearest([], {"vm.a"}, Direction.DEPENDANTS) == []


def test_a_start_node_can_be_the_nearest_target() -> None:
    assert Graph([("a", "b")]).nearest(["b", "a"], {"a", "b"}, Direction.DEPENDENCIES) == ["a", "b"]


def test_a_search_in_a_cycle_ends() -> None:
    graph = Graph([("a", "b"), ("b", "c"), ("c", "a")])
    assert graph.nearest(["a"], {"d"}, Direction.DEPENDENCIES) == []


@pytest.mark.parametrize("text", ["", "digraph {}", '"unclosed', "-> ->", "\0"])
def test_invalid_dot_is_an_empty_graph(text: str) -> None:
    assert Graph.parse(text).nearest(["a"], {"a", "b"}, Direction.DEPENDANTS) == ["a"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("docker_container.a", "docker_container.a"),
        ("docker_container.a[0]", "docker_container.a"),
        ('module.a["x.y"].docker_container.b[12]', "module.a.docker_container.b"),
        (r'module.a["q\"]["].b', "module.a.b"),
        ('x["[["].y', "x.y"),
        (r'x["\\"].y', "x.y"),
    ],
)
def test_instance_keys_are_removed(address: str, expected: str) -> None:
    assert without_instance_keys(address) == expected


def test_references_become_nodes_of_their_module() -> None:
    references = [
        "coder_agent.main[0].id",
        "coder_agent.main[0]",
        "coder_agent.main",
        "data.coder_workspace.me.id",
        "data.coder_workspace.me",
        'module.vm["a"].agent_id',
        "module.vm",
        "module.whole",
        "local.x",
        "var.y",
        "each.value",
        "count.index",
        "path.module",
        "terraform.workspace",
    ]
    assert reference_nodes(references, "module.m.") == [
        "module.m.coder_agent.main",
        "module.m.data.coder_workspace.me",
        "module.m.module.vm.output.agent_id",
        "module.m.module.whole (close)",
        "module.m.local.x",
        "module.m.var.y",
    ]
