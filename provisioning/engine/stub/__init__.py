"""Stand-ins for providers and modules that cannot be had, so that a template can be planned, though never applied."""

from provisioning.engine.stub.module import STAND_IN_ADDRESS, stub_module
from provisioning.engine.stub.provider import StubProvider

__all__ = ["STAND_IN_ADDRESS", "StubProvider", "stub_module"]
