"""The result of reading a template statically."""

from dataclasses import dataclass, field

from provisioning.engine.base import ParameterSchema, RichParameter
from provisioning.engine.provider_usage import Hints, ProviderUsage

from .origins import ParameterOrigins, Scope, parameter_origins
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


@dataclass(frozen=True, slots=True, order=True)
class Provisioner:
    """A ``provisioner`` block. ``type`` is ``local-exec``, ``remote-exec`` or ``file``."""

    location: Location
    type: str


@dataclass(frozen=True, slots=True)
class Module:
    """A template: its root module, and the parts of its local modules that concern the whole run.

    ``variables``, ``required_providers``, ``literal_parameters`` and ``backend`` describe the root module.
    ``provider_usage`` (by source address), ``module_calls``, ``has_remote_state``, ``provisioners``,
    ``declares_costs`` and ``parameter_order`` also cover the local modules. ``declares_costs`` says whether any
    ``coder_metadata`` has a ``daily_cost``. ``required_providers`` maps local names to full source
    addresses and includes providers that are only implied by a resource's type. ``parameter_order`` holds the
    addresses of the ``coder_parameter`` data sources, without instance keys, in source order. ``variable_files`` maps
    the names of variables to the variable files that set them. ``structured_variables`` are those without a type whose
    value in the template is a list or a map.
    """

    variables: tuple[ParameterSchema, ...] = ()
    variable_files: dict[str, str] = field(default_factory=dict)
    structured_variables: frozenset[str] = frozenset()
    required_providers: dict[str, str] = field(default_factory=dict)
    provider_usage: dict[str, ProviderUsage] = field(default_factory=dict)
    module_calls: tuple[ModuleCall, ...] = ()
    literal_parameters: tuple[RichParameter, ...] = ()
    parameter_order: tuple[str, ...] = ()
    backend: Location | None = None
    has_remote_state: Location | None = None
    provisioners: tuple[Provisioner, ...] = ()
    declares_costs: bool = False
    scopes: tuple[Scope, ...] = field(default=(), compare=False, repr=False)

    def parameter_origins(self) -> tuple[ParameterOrigins, ...]:
        """Return the providers and modules that the values of the arguments of parameters come from."""
        return parameter_origins(self.scopes)
