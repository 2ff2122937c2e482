"""Reading the instances in the file of a state."""

import pytest

from provisioning.engine.base import EngineError
from provisioning.engine.plan import state_result
from provisioning.engine.plan_instances import Entry, instance_keys
from provisioning.engine.state_entries import read_state_entries

from .plan_builder import dot, instance, state


def entries_of(*resources: dict) -> list[Entry]:
    return list(read_state_entries({"version": 4, "resources": list(resources)}))


def resource(kind: str, *instances: dict, **more: str) -> dict:
    return {"mode": "managed", "type": kind, "name": "a", "instances": list(instances)} | more


def test_addresses_have_modules_modes_and_keys() -> None:
    found = entries_of(
        resource("t", {"attributes": {"id": "1"}}, module='module.m["x.y"].module.n[2]'),
        resource("t", {"attributes": {}}, mode="data"),
        resource("u", {"index_key": 0}, {"index_key": 10}),
    )
    assert [entry.address for entry in found] == ['module.m["x.y"].module.n[2].t.a', "data.t.a", "u.a[0]", "u.a[10]"]
    assert [entry.label for entry in found] == ["module.m.module.n.t.a", "data.t.a", "u.a", "u.a"]
    assert [entry.position for entry in found] == [0, 1, 2, 3]
    assert found[0].keys == ("x.y", "2")


@pytest.mark.parametrize("key", ["a", 'say "hi"', "back\\slash", "${no} %{if}", "ü\n\t", "a]b[0]", ""])
def test_keys_are_read_as_they_were_written(key: str) -> None:
    (entry,) = entries_of(resource("t", {"index_key": key}))
    assert instance_keys(entry.address) == (key,)
    assert entry.label == "t.a"


def test_deposed_instances_are_left_out() -> None:
    found = entries_of(resource("t", {"attributes": {"id": "old"}, "deposed": "1a2b"}, {"attributes": {"id": "new"}}))
    assert [entry.values.raw("id") for entry in found] == ["new"]


def test_values_that_terraform_marked_are_not_shown_in_metadata() -> None:
    def step(value: object) -> dict:
        return {"type": "get_attr" if isinstance(value, str) else "index", "value": value}

    index = {"type": "index", "value": {"value": 1, "type": "number"}}
    for path, expected in (
        ([step("item"), index, step("value")], ["open", None]),
        ([step("item")], [None, None]),
        ([step("icon")], ["open", "hidden"]),
        # Paths that cannot be followed hide what they lead into.
        ([step("item"), {"type": "index", "value": {"value": {"key": "a"}, "type": "object"}}], [None, None]),
        ([step("item"), {"type": "index", "value": {"value": 10**9, "type": "number"}}], [None, None]),
    ):
        items = [{"key": "a", "value": "open"}, {"key": "b", "value": "hidden"}]
        file = state(instance("disk.d", {"id": "d"}), instance("coder_metadata.m", {"resource_id": "d", "item": items}))
        file["resources"][1]["instances"][0]["sensitive_attributes"] = [path]
        result = state_result(file, dot("coder_metadata.m -> disk.d"))
        assert [item.value for item in result.resources[0].metadata] == expected, path


@pytest.mark.parametrize(
    "broken",
    [{"version": 3}, {}, {"version": 4, "resources": [{"type": "t"}]}, {"version": 4, "resources": ["x"]}],
)
def test_other_formats_are_refused(broken: dict) -> None:
    with pytest.raises(EngineError, match="the workspace's state cannot be read"):
        state_result(broken, "")
