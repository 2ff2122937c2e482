"""What reading a template statically finds."""

from dataclasses import dataclass, field

from provisioning.engine.base import ParameterSchema, RichParameter
from provisioning.engine.provider_usage import ProviderUsage

from .problems import Location


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """A ``module`` block of the root module or of a local module.

    ``key`` is the dotted path of call names (``network.subnets``), as in Terraform's module manifest.
    ``outputs`` says which outputs are read and how: ``{"cluster": {"[]": {"name": {}}}}`` stands for
    ``module.x.cluster[0].name``. ``version`` is the constraint as written, "" without one. ``providers`` are the full
    addresses of those that are passed on, by the name in the called module (``aws`` or ``aws.west``).
    """

    key: str
    name: str
    source: str
    version: str
    location: Location
    arguments: tuple[str, ...] = ()
    outputs: dict[str, dict] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether the source is a folder of the template."""
        return self.source.startswith(("./", "../"))

    @property
    def file(self) -> str:
        return self.location.file

    @property
    def line(self) -> int:
        return self.location.line


@dataclass(frozen=True, slots=True)
class Module:
    """A template: its root module, and of the local modules below it what concerns the whole run.

    ``variables``, ``required_providers``, ``literal_parameters`` and ``backend`` are the root module's.
    ``provider_usage`` (by source address), ``module_calls``, ``has_remote_state``, ``uses_provisioners`` and
    ``parameter_order`` cover the local modules too. ``required_providers`` maps local names to full source
    addresses, also those that are only implied by a resource's type. ``parameter_order`` holds the addresses
    of the ``coder_parameter`` data sources, without instance keys, in source order.
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
