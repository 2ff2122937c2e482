"""The graph of the resources of a workspace."""

import re
from xml.etree import ElementTree as ET

import pytest

from provisioning.engine import base
from provisioning.models import WorkspaceResource
from provisioning.pages.resource_graph import DRAWN_AT_MOST, resource_graph, symbol_of
from tests.factories import finish, make_job

pytestmark = pytest.mark.django_db


def drawn(*resources: base.Resource) -> ET.Element:
    job = make_job()
    finish(job, result=base.PlanResult(resources=resources))
    rows = WorkspaceResource.objects.filter(job=job).prefetch_related("agents__apps").order_by("name")
    return ET.fromstring(resource_graph(list(rows), "a picture"))


def boxes(svg: ET.Element) -> dict[str, tuple[float, float]]:
    """Return the titles of boxes with their left and top."""
    found = {}
    for node in svg.iter("g"):
        title, rect = node.find("title"), node.find("rect")
        assert title is not None
        assert rect is not None
        found[title.text or ""] = (float(rect.get("x", "")), float(rect.get("y", "")))
    return found


def test_graph_goes_from_resources_to_agents_to_apps():
    apps = (base.App(slug="code"), base.App(slug="jupyter", display_name="JupyterLab"))
    agents = (
        base.Agent(name="main", apps=apps, operating_system="linux", architecture="amd64"),
        base.Agent(name="side", operating_system="linux", architecture="arm64"),
    )
    svg = drawn(
        base.Resource(name="alone", type="docker_volume"),
        base.Resource(name="workspace", type="docker_container", agents=agents),
    )
    found = boxes(svg)
    assert set(found) == {
        "alone: docker_volume",
        "workspace: docker_container",
        "main: linux/amd64",
        "side: linux/arm64",
        "code: app, for owner",
        "JupyterLab: app, for owner",
    }
    assert [left for left, _ in sorted(set(found.values()))] == sorted(left for left, _ in set(found.values()))
    owner, agent, app = found["workspace: docker_container"], found["main: linux/amd64"], found["code: app, for owner"]
    assert owner[0] < agent[0] < app[0]
    assert app[1] < agent[1] < found["JupyterLab: app, for owner"][1]
    assert len(set(found.values())) == len(found)
    assert len(svg.findall("path")) == 2 * 4  # a line and an arrow head each


def test_names_in_the_graph_are_escaped_and_cut():
    hostile = "<script>alert(1)</script>"
    svg = drawn(base.Resource(name=hostile, type="x" * 60))
    [title] = boxes(svg)
    assert title == f"{hostile}: {'x' * 60}"
    texts = [text.text or "" for text in svg.iter("text")]
    assert all(len(text) <= 22 for text in texts)
    assert texts[0].startswith("<script>")


def test_resources_with_agents_are_drawn_first():
    many = [base.Resource(name=f"a-{number:03}", type="null_resource") for number in range(DRAWN_AT_MOST + 5)]
    holder = base.Resource(name="z-last", type="null_resource", agents=(base.Agent(name="main"),))
    found = boxes(drawn(*many, holder))
    assert len(found) == DRAWN_AT_MOST + 1
    assert "z-last: null_resource" in found


def test_graph_without_resources_is_empty():
    assert resource_graph([], "nothing") == ""


def test_graph_has_no_style_and_no_script():
    text = ET.tostring(drawn(base.Resource(name="a", type="b")), encoding="unicode")
    assert not re.search(r"style=|<script|on\w+=", text)


@pytest.mark.parametrize(
    ("resource_type", "symbol"),
    [("docker_container", "container"), ("aws_instance", "server"), ("docker_volume", "hard-drive"), ("odd", "box")],
)
def test_a_type_has_a_symbol(resource_type, symbol):
    assert symbol_of(resource_type) == symbol
