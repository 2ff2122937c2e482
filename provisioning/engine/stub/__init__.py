"""Stubs for unavailable providers and modules. A template with stubs can be planned but is never applied."""

from provisioning.engine.stub.module import STUB_RESOURCE_ADDRESS, stub_module
from provisioning.engine.stub.provider import StubProvider

__all__ = ["STUB_RESOURCE_ADDRESS", "StubProvider", "stub_module"]
