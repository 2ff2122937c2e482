"""Converting plan and graph to metadata, each with its resource."""

import pytest

from provisioning.engine.base import (
    EngineError,
    ResourceMetadata,
)
from provisioning.engine.plan import plan_result

from .plan_builder import configured, dot, instance, module, plan


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


def test_metadata_is_assigned_to_the_nearest_resource() -> None:
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


def test_resource_id_determines_the_resource_even_if_an_item_reads_another() -> None:
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


def test_a_duplicate_metadata_key_is_an_error() -> None:
    planned = module(
        instance("a.a"),
        instance("coder_metadata.m", {"item": [{"key": "k", "value": "1"}]}),
        instance("coder_metadata.n", {"item": [{"key": "k", "value": "2"}]}),
    )
    with pytest.raises(EngineError, match=r'the metadata of a\.a has the key "k" twice'):
        plan_result(plan(planned), dot("coder_metadata.m -> a.a", "coder_metadata.n -> a.a"))
