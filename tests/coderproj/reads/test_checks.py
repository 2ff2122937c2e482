"""The system check of compiled reads, and when it runs."""

import subprocess
import sys
import uuid
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from rest_framework import serializers

from coderproj.base.contributions import contributions
from coderproj.identity.actor import Actor
from coderproj.identity.models import Organization
from coderproj.reads.checks import TAG, name_of, reads_compile, reads_compile_in_every_shape, shapes_of
from coderproj.reads.compiled import Read
from coderproj.reads.serializers import json_object
from coderproj.web import server
from tests.routes import api_routes

HERE = "tests.coderproj.reads.test_checks"


class BrokenSerializer(serializers.ModelSerializer[Organization]):
    weight = serializers.FloatField()

    class Meta:
        model = Organization
        fields = ["id", "weight"]


class LostSerializer(serializers.ModelSerializer[Organization]):
    owner = serializers.CharField(source="no_such_column")

    class Meta:
        model = Organization
        fields = ["id", "owner"]


def broken_rows(actor: Actor, organization_id: uuid.UUID | None, name: str) -> Any:
    return Organization.objects.values_list(json_object(BrokenSerializer()))


def lost_rows(actor: Actor) -> Any:
    return Organization.objects.values_list(json_object(LostSerializer()))


def late_rows(actor: Actor, limit: int | None) -> Any:
    """Broken for the second shape only."""
    return Organization.objects.values_list("pk" if limit else json_object(BrokenSerializer()))


BROKEN = [Read(broken_rows)]
LOST = [Read(lost_rows)]
LATE = [Read(late_rows)]


def test_the_reads_of_the_product_compile():
    assert len(contributions("compiled_reads")) > 10
    assert reads_compile(None) == reads_compile_in_every_shape(None) == []


@pytest.mark.parametrize(
    ("reads", "name", "reason", "deploy"),
    [
        ("BROKEN", "broken_rows", "TypeError: cannot compile BrokenSerializer.weight: FloatField is written by", False),
        ("LOST", "lost_rows", "FieldError: Cannot resolve keyword 'no_such_column'", False),
        ("LATE", "late_rows", "TypeError: cannot compile BrokenSerializer.weight", True),
    ],
)
def test_a_read_that_cannot_be_compiled_is_an_error(contribute, reads, name, reason, deploy):
    # One of them beside all reads of the product, whose compilation takes a second each time.
    contribute("compiled_reads", f"{HERE}.{reads}", alone=reads != "BROKEN")
    (error,) = run_checks(tags=[TAG], include_deployment_checks=True)
    assert error.id == "coderproj.E020"
    assert error.is_serious()
    assert error.msg.startswith(f"The compiled read {HERE}.{name} cannot be compiled: {reason}")
    assert run_checks(tags=[TAG]) == ([] if deploy else [error])
    with pytest.raises(SystemCheckError, match=r"coderproj\.E020"):
        call_command("check", deploy=deploy, tags=[TAG])


def test_the_web_server_does_not_start_with_a_broken_read(contribute):
    contribute("compiled_reads", f"{HERE}.BROKEN")
    with pytest.raises(SystemExit, match=r"BrokenSerializer\.weight"):
        server.main(["--port", "0"])


def test_every_shape_of_the_arguments_is_compiled():
    assert [tuple(map(type, shape)) for shape in shapes_of(BROKEN[0])] == [
        (uuid.UUID, str),
        (type(None), str),
    ]


def test_every_read_of_a_viewset_is_checked():
    checked = {id(read) for read in contributions("compiled_reads")}
    used = {
        name_of(read): id(read) for route in api_routes() for read in getattr(route.view, "compiled_reads", {}).values()
    }
    assert len(used) > 5
    assert [name for name, read in used.items() if read not in checked] == []


def test_every_read_that_a_module_defines_is_checked():
    checked = {id(read) for read in contributions("compiled_reads")}
    modules = [
        module for name, module in sys.modules.items() if name.endswith(".reads") and not name.startswith("tests")
    ]
    defined = [value for module in modules for value in vars(module).values() if isinstance(value, Read)]
    assert len(defined) == len(checked)
    assert {id(read) for read in defined} == checked


def test_the_check_needs_no_database():
    nowhere = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--tag", TAG], env=nowhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout
