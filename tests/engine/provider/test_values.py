import msgpack
import pytest

from provisioning.engine.provider.values import UNKNOWN, decode, dynamic, encode, is_set, split_dynamic


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "text ✓",
        0,
        -1,
        2**63,
        1.5,
        [],
        {},
        {"a": UNKNOWN, "b": [None, UNKNOWN, {"c": UNKNOWN}]},
        dynamic(["list", "string"], ["a", UNKNOWN]),
    ],
)
def test_values_are_unchanged_by_a_round_trip(value):
    assert decode(encode(value)) == value


@pytest.mark.parametrize("code", [0, 12])
def test_plain_and_refined_unknown_values_are_unknown(code):
    data = msgpack.packb({"id": msgpack.ExtType(code, b"\x81\x01\xc2")})

    assert decode(data)["id"] is UNKNOWN


def test_unknown_is_encoded_as_terraform_expects():
    assert encode(UNKNOWN) == b"\xd4\x00\x00"


def test_empty_bytes_are_null():
    assert decode(b"") is None


def test_other_extensions_are_rejected():
    with pytest.raises(ValueError, match="extension 7"):
        decode(msgpack.packb(msgpack.ExtType(7, b"")))


def test_other_objects_are_rejected():
    with pytest.raises(TypeError, match="set is not a Terraform value"):
        encode({"a": {1, 2}})


def test_unknown_has_no_truth_value():
    with pytest.raises(TypeError):
        bool(UNKNOWN)
    assert not is_set(UNKNOWN)
    assert not is_set(None)
    assert is_set("")
    assert repr(UNKNOWN) == "UNKNOWN"


def test_a_dynamic_value_contains_its_type():
    wire = decode(encode(dynamic("string", "x")))

    assert wire == [b'"string"', "x"]
    assert split_dynamic(wire) == ("string", "x")
    assert split_dynamic(["a", "b"]) is None
    assert split_dynamic(UNKNOWN) is None
