"""Texts that validation conditions allow."""

import pytest

from provisioning.engine.hcl import allowed_texts


@pytest.mark.parametrize(
    ("condition", "texts"),
    [
        ('contains(["us", "eu"], var.region)', ["eu", "us"]),
        ('(contains(["us"], var.region))', ["us"]),
        ('contains(["b", 7, true, "a"], var.x)', ["a", "b"]),
        ("contains([], var.x)", None),
        ("contains(local.regions, var.x)", None),
        ('contains(["us", var.other], var.x)', None),
        ('contains(["us"])', None),
        ('!contains(["us"], var.x)', None),
        ('contains(["us"], var.x) && true', None),
        ("length(var.x) > 3", None),
        ('can(regex("^a", var.x))', None),
        ("contains(", None),
        ("", None),
        ("contains(" + "[" * 5000, None),
    ],
)
def test_allowed_texts_are_read_only_from_contains_with_constants(condition, texts):
    assert allowed_texts(condition) == texts
