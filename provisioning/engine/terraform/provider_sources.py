"""Where providers come from: the operator's CLI configuration merged with the daemon's settings."""

import errno
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from provisioning.engine import sandbox
from provisioning.engine.base import EngineError
from provisioning.engine.hcl.providers import full_address
from provisioning.engine.terraform.config_syntax import Body, ConfigSyntaxError, Item, parse, quoted
from provisioning.engine.terraform.settings import EngineSettings

DISABLE_CHECKPOINT = "disable_checkpoint = true\n"
_DIRECT, _FILESYSTEM, _NETWORK = "direct", "filesystem_mirror", "network_mirror"
# Items that the merged configuration replaces.
_REPLACED = frozenset(
    {
        "disable_checkpoint",
        "disable_checkpoint_signature",
        "plugin_cache_dir",
        "plugin_cache_may_break_dependency_lock_file",
        "provider_installation",
        "credentials_helper",
    }
)
CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class Method:
    """An installation method: ``kind`` is its block's type, ``place`` the path or URL of a mirror."""

    kind: str
    place: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    source: str = f"{_DIRECT} {{}}"

    @property
    def is_direct(self) -> bool:
        return self.kind == _DIRECT

    @property
    def is_folder(self) -> bool:
        return self.kind == _FILESYSTEM

    def serves(self, address: str) -> bool:
        """True if the patterns of this method allow the provider at ``address``."""
        included = not self.include or any(_matches(pattern, address) for pattern in self.include)
        return included and not any(_matches(pattern, address) for pattern in self.exclude)

    def names_host(self, host: str) -> bool:
        """True if a pattern includes this host by name."""
        return any(full_address(pattern).partition("/")[0] == host for pattern in self.include)


@dataclass(frozen=True, slots=True)
class ProviderSources:
    """The merged configuration. ``overrides`` are the folders of ``dev_overrides`` by address, ``services`` the
    addresses of provider registries in ``host`` blocks, ``other`` the text of all other items.
    """

    methods: tuple[Method, ...] = (Method(_DIRECT),)
    overrides: dict[str, Path] = field(default_factory=dict)
    cache: Path | None = None
    services: dict[str, str] = field(default_factory=dict)
    other: str = field(default="", repr=False)  # has credentials
    has_helper: bool = False
    _hosts: frozenset[str] = frozenset()  # direct installation is allowed from these
    _network: bool = True

    def methods_for(self, address: str) -> tuple[Method, ...]:
        """Return the methods that can install a provider, in order."""
        return tuple(method for method in self.methods if method.serves(address) and self._is_allowed(method, address))

    def refusal(self, address: str) -> str:
        """Return why no method can install a provider."""
        if not self._network:
            return "installing providers is disabled on this daemon"
        return f"the registry {address.partition('/')[0]} is not allowed on this daemon"

    def _is_allowed(self, method: Method, address: str) -> bool:
        if method.is_folder:
            return True
        host = address.partition("/")[0]
        return self._network and (not method.is_direct or host in self._hosts or method.names_host(host))

    def probe_url(self, method: Method, address: str) -> str:
        """Return a URL of the server behind a method, "" if it has none."""
        host = address.partition("/")[0]
        if method.is_direct:
            return self.services.get(host) or f"https://{host}/.well-known/terraform.json"
        return method.place if method.kind == _NETWORK else ""

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders of mirrors."""
        return tuple(Path(method.place) for method in self.methods if method.is_folder)

    @property
    def fingerprint(self) -> str:
        """A hash of everything that changes which package a version constraint leads to."""
        text = "\0".join([*(method.source for method in self.methods), self.other, str(self._network)])
        return hashlib.sha256(text.encode()).hexdigest()

    def config(self, methods: Iterable[Method], *, cache: Path | None = None, trust_cache: bool = False) -> str:
        """Return a CLI configuration that installs by these methods only.

        It always names the methods: by default Terraform also runs programs that it finds in ``terraform.d`` of the
        working folder, which belongs to the template. ``cache`` is a plugin cache; with ``trust_cache`` its packages
        are used without hashes in a lock file.
        """
        text = DISABLE_CHECKPOINT + self.other
        if cache is not None:
            text += f"plugin_cache_dir = {quoted(str(cache))}\n"
            text += f"plugin_cache_may_break_dependency_lock_file = {'true' if trust_cache else 'false'}\n"
        return text + "provider_installation {\n" + "".join(f"{method.source}\n" for method in methods) + "}\n"


def mirror(path: Path) -> Method:
    """Return the method that installs from a folder."""
    return Method(_FILESYSTEM, str(path), source=f"{_FILESYSTEM} {{\n  path = {quoted(str(path))}\n}}")


def load(settings: EngineSettings) -> ProviderSources:
    """Return the sources that the settings configure.

    Direct installation is limited to ``registries`` and to hosts that the operator's configuration names. Raises
    EngineError if that configuration cannot be read.
    """
    if settings.cli_config is None:
        return ProviderSources(_hosts=frozenset(settings.registries), _network=settings.network)
    path = settings.cli_config
    try:
        body = parse(path.read_text())
    except OSError as error:
        raise EngineError(f"PROVISIONER_CLI_CONFIG: cannot read {path}: {error.strerror}") from error
    except (ConfigSyntaxError, UnicodeDecodeError) as error:
        raise EngineError(f"PROVISIONER_CLI_CONFIG: {path}: {error}") from error
    hosts = {item.labels[0] for name in ("host", "credentials") for item in body.of(name) if item.labels}
    installation = [block for item in body.of("provider_installation") for block in item.body.items]
    methods = tuple(_method(item) for item in installation if item.name != "dev_overrides")
    cache = os.path.expandvars(body.first("plugin_cache_dir").text)
    return ProviderSources(
        methods=methods if any(body.of("provider_installation")) else (Method(_DIRECT),),
        overrides={
            full_address(entry.name): Path(entry.text).expanduser()
            for item in installation
            if item.name == "dev_overrides"
            for entry in item.body.items
        },
        cache=Path(cache).expanduser() if cache else None,
        services=_services(body),
        other="".join(f"{item.source}\n" for item in body.items if item.name not in _REPLACED),
        has_helper=any(body.of("credentials_helper")),
        _hosts=frozenset(settings.registries) | hosts,
        _network=settings.network,
    )


def problems(settings: EngineSettings) -> list[str]:
    """Return what is wrong with the configured sources: files that are missing or cannot be read."""
    found = _problems_of_files(settings)
    try:
        sources = load(settings)
    except EngineError as error:
        return [*found, str(error)]
    where = f"PROVISIONER_CLI_CONFIG: {settings.cli_config}"
    for folder in sources.folders:
        problem = _unreadable(folder) or ("" if folder.is_dir() else f"{folder} is not a folder")
        found += [f"{where}: filesystem_mirror: {problem}"] if problem else []
    for address, folder in sources.overrides.items():
        if override_program(address, folder) is None:
            found.append(f"{where}: dev_overrides: {folder} has no program {program_name(address)}")
    if sources.has_helper:
        found.append(f"{where}: credentials_helper is ignored: use credentials blocks")
    cache = store_folder(settings, sources)
    if cache is not None:
        # The first installation creates it: a daemon that installs nothing writes nothing.
        existing = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
        if not existing.is_dir():
            found.append(f"the cache of providers {cache} cannot be created: {os.strerror(errno.ENOTDIR)}")
        elif not os.access(existing, os.W_OK | os.X_OK):
            found.append(f"the cache of providers {cache} is not writable")
    return found


def _problems_of_files(settings: EngineSettings) -> list[str]:
    found = []
    for name in CERTIFICATE_VARIABLES:
        for one in filter(None, os.environ.get(name, "").split(os.pathsep)):
            found += [f"{name}: {problem}" for problem in [_unreadable(Path(one))] if problem]
    for path in settings.provider_read_paths:
        found += [f"PROVISIONER_READ_PATHS: {problem}" for problem in [_unreadable(path)] if problem]
    if settings.git_credentials is not None and (problem := _unreadable(settings.git_credentials)):
        found.append(f"PROVISIONER_GIT_CREDENTIALS: {problem}")
    if settings.plan_hosts and not sandbox.network_namespaces_work():
        found.append("PROVISIONER_PLAN_HOSTS: nothing is open, network namespaces are not permitted on this machine")
    for path in settings.provider_sockets:
        problem = "" if path.is_socket() else "is not a socket" if path.exists() else "does not exist"
        found += [f"PROVISIONER_SOCKETS: {path} {problem}"] if problem else []
    return found


def store_folder(settings: EngineSettings, sources: ProviderSources) -> Path | None:
    """Return the folder of installed providers: the operator's ``plugin_cache_dir``, else the daemon's cache."""
    return sources.cache or settings.plugin_cache


def certificate_paths() -> tuple[Path, ...]:
    """Return the files and folders of certificates that the environment names."""
    values = [os.environ.get(name, "") for name in CERTIFICATE_VARIABLES]
    return tuple(Path(one) for value in values for one in value.split(os.pathsep) if one)


def program_name(address: str) -> str:
    """Return how the file name of a provider's program starts."""
    return f"terraform-provider-{address.rpartition('/')[2]}"


def override_program(address: str, folder: Path) -> Path | None:
    """Return a provider's program in a folder, or None."""
    name = program_name(address)
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(name) and os.access(path, os.X_OK))
    except OSError:
        return None
    return next((path for path in found if path.is_file() and path.name[len(name) :][:1] in ("", "_")), None)


def _method(item: Item) -> Method:
    place = item.body.first("path").text or item.body.first("url").text
    include, exclude = item.body.first("include").texts, item.body.first("exclude").texts
    return Method(item.name, place, include, exclude, item.source)


def _services(body: Body) -> dict[str, str]:
    found = {}
    for item in body.of("host"):
        services = item.body.first("services").body
        if item.labels and services.first("providers.v1").text:
            found[item.labels[0]] = services.first("providers.v1").text
    return found


def _matches(pattern: str, address: str) -> bool:
    wanted, given = full_address(pattern).split("/"), address.split("/")
    return len(wanted) == len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=True))


def _unreadable(path: Path) -> str:
    if not path.exists():
        return f"{path} does not exist"
    wanted = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
    return "" if os.access(path, wanted) else f"{path} cannot be read"
