"""Stand-ins for providers that cannot be installed, so that a template can be planned, though never
applied."""

from provisioning.engine.stub.provider import StubProvider

__all__ = ["StubProvider"]
