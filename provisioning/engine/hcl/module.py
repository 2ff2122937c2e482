"""The result of reading a template statically."""

from dataclasses import dataclass, field

from provisioning.engine.base import ParameterSchema, RichParameter
from provisioning.engine.provider_usage import Hints, ProviderUsage

from .problems import Location


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A ``module`` block of the root module or of a local module.

    ``key`` is the dotted path of call names (``network.subnets``), as in Terraform's module manifest.
    ``outputs`` holds the outputs that the template reads, and how: ``{"cluster": {"[]": {"name": {}}}}`` stands for
    ``module.x.cluster[0].name``. ``version`` is the constraint as written, "" if there is none. ``providers`` maps the
    names of passed providers in the called module (``aws`` or ``aws.west``) to their full addresses.
    """

    key: str
    name: str
    source: str
    version: str
    location: Location
    arguments: tuple[str, ...] = ()
    outputs: dict[str, Hints] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """True if the source is a folder of the template."""
        return self.source.startswith(("./", "../"))

    @property
    def file(self) -> str:
        return self.location.file

    @property
    def line(self) -> int:
        return self.location.line


@dataclass(frozen=True, slots=True)
class Module:
    """A template: its root module, and the parts of its local modules that concern the whole run.

    ``variables``, ``required_providers``, ``literal_parameters`` and ``backend`` describe the root module.
    ``provider_usage`` (by source address), ``module_calls``, ``has_remote_state``, ``uses_provisioners`` and
    ``parameter_order`` also cover the local modules. ``required_providers`` maps local names to full source
    addresses and includes providers that are only implied by a resource's type. ``parameter_order`` holds the
    addresses of the ``coder_parameter`` data sources, without instance keys, in source order.
    """

    variables: tuple[ParameterSchema, ...] = ()
    required_providers: dict[str, str] = field(default_factory=dict)
    provider_usage: dict[str, ProviderUsage] = field(default_factory=dict)
    module_calls: tuple[ModuleCall, ...] = ()
    literal_parameters: tuple[RichParameter, ...] = ()
    parameter_order: tuple[str, ...] = ()
    backend: Location | None = None
    has_remote_state: Location | None = None
    uses_provisioners: tuple[Location, ...] = ()
