"""Install providers other than coder/coder into the machine's store.

Terraform downloads and verifies each provider, in a folder of its own, so that different providers are installed at
the same time and an installation that fails leaves nothing behind. Selected versions are remembered for a while: a
template whose providers are known needs no installation and no network.
"""

import functools
import re
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from provisioning.engine.base import EngineError, Log, LogLevel, Stage
from provisioning.engine.provider.server import DEFAULT_PROTOCOL
from provisioning.engine.provider_usage import ProviderUsage
from provisioning.engine.terraform import lock_file, provider_sources
from provisioning.engine.terraform.installation import Installation, Request, Unavailable
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.lock_file import LOCK_FILE
from provisioning.engine.terraform.module_sources import is_valid_constraint
from provisioning.engine.terraform.provider_process import ProviderProcess
from provisioning.engine.terraform.provider_sources import Method, ProviderSources
from provisioning.engine.terraform.provider_store import PLATFORM, Package, ProviderStore, open_store
from provisioning.engine.terraform.reachability import Reach, probe
from provisioning.engine.terraform.settings import EngineSettings

MAX_CONCURRENT = 4  # installations of one job; each is a process of about 100 MiB

# Kinds of notes in the store.
_VERSION, _UNREACHABLE, _REACHED, _PROTOCOL = "version", "unreachable", "reached", "protocol"
# The address becomes a path in the store.
_ADDRESS = re.compile(r"[^\s/.][^\s/]*/[\w-]+/[\w-]+")


@dataclass(frozen=True, slots=True)
class InstalledProvider:
    """An installed provider, and the version of Terraform's protocol that it speaks."""

    package: Package
    protocol: int


@dataclass(frozen=True, slots=True)
class Installed:
    """The installed providers by address, and why others are unavailable."""

    providers: dict[str, InstalledProvider] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class ProviderInstaller:
    """Installs providers for all jobs of a process. Thread-safe, also with other processes on the same store."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings

    @functools.cached_property
    def sources(self) -> ProviderSources:
        """The merged configuration. Raises EngineError."""
        return provider_sources.load(self._settings)

    @functools.cached_property
    def store(self) -> ProviderStore | None:
        """The machine's store, None without a folder for it. Raises EngineError."""
        return open_store(self._settings, self.sources)

    def install(self, runtime: JobRuntime, usage: Mapping[str, ProviderUsage], log: Log) -> Installed:
        """Install the providers that a template uses.

        Those that cannot be reached are in ``failed``. Raises EngineError if a registry has no such provider or
        version, or a package is damaged, and Canceled if the job is canceled.
        """
        for address in usage:
            if not _ADDRESS.fullmatch(address):
                raise EngineError(f"{address!r} is not the source of a provider")
        locked = lock_file.read(runtime.directory)
        store = self.store or ProviderStore(runtime.folder / "providers")
        work = _Job(self._settings, self.sources, store, runtime, _serialized(log))
        requests = [
            Request(
                address,
                runtime.source_address(address),
                tuple(sorted(one for one in used.constraints if is_valid_constraint(one))),
                locked.get(runtime.source_address(address)),
            )
            for address, used in usage.items()
        ]
        return work.install(requests)

    def expected_protocol(self, address: str) -> int:
        """Return the protocol that the provider at ``address`` spoke when it was last used."""
        try:
            folder = provider_sources.store_folder(self._settings, self.sources)
            has_store = folder is not None and folder.is_dir()  # a warm-up does not create it
            known = self.store.note(_PROTOCOL, address) if has_store and self.store is not None else None
        except EngineError:  # the job reports it
            known = None
        return known if isinstance(known, int) else DEFAULT_PROTOCOL


class _Job:
    """The installation of one template's providers."""

    def __init__(
        self, settings: EngineSettings, sources: ProviderSources, store: ProviderStore, runtime: JobRuntime, log: Log
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._store = store
        self._runtime = runtime
        self._log = log
        self._unreachable: dict[str, str] = {}  # reasons by URL, of this job

    def install(self, requests: list[Request]) -> Installed:
        found = Installed()
        known: list[tuple[Request, Package]] = []
        missing = []
        for request in requests:
            if package := self._overriding(request) or self._remembered(request):
                known.append((request, package))
            elif not self._sources.methods_for(request.source) and not self._is_offline_cache(request):
                found.failed[request.address] = self._sources.refusal(request.source)
            else:
                missing.append(request)
        uncertain = self._probe(missing)
        for request in list(missing):
            if reason := self._why_unavailable(request):
                found.failed[request.address] = reason
                missing.remove(request)
        if missing:
            names = ", ".join(request.address for request in missing)
            self._log(LogLevel.INFO, Stage.INSTALLING, f"Installing {names}")
        if known or missing:
            self._run(found, known, missing, 1 if uncertain else MAX_CONCURRENT)
        return found

    def _run(
        self, found: Installed, known: list[tuple[Request, Package]], missing: list[Request], concurrency: int
    ) -> None:
        """Check the ``known`` packages and install the ``missing`` providers, at the same time."""
        with ThreadPoolExecutor(concurrency, thread_name_prefix="install") as threads:
            results: list[tuple[Request, Future[InstalledProvider | str]]] = [
                (request, threads.submit(self._checked, request, package)) for request, package in known
            ]
            results += [(request, threads.submit(self._install_one, request)) for request in missing]
            try:
                for request, result in results:
                    outcome = result.result()
                    if isinstance(outcome, InstalledProvider):
                        found.providers[request.address] = outcome
                    else:
                        found.failed[request.address] = outcome
            except BaseException:
                for _, result in results:
                    result.cancel()
                raise

    def _checked(self, request: Request, package: Package) -> InstalledProvider | str:
        """Find out which protocol a package speaks, by starting it once. Raises EngineError if it does not start."""
        key = (_PROTOCOL, package.hash or package.program.as_posix())
        protocol = self._store.note(*key) if package.hash else None
        if not isinstance(protocol, int):
            program = self._runtime.providers.program(request.address, package.program, package.folder)
            process = ProviderProcess(program, self._runtime.is_canceled)
            process.stop()
            protocol = process.protocol
            self._store.remember(*key, value=protocol, seconds=None)
        if self._store.note(_PROTOCOL, request.address) != protocol:
            self._store.remember(_PROTOCOL, request.address, value=protocol, seconds=None)
        return InstalledProvider(package, protocol)

    def _overriding(self, request: Request) -> Package | None:
        """Return the program that the operator's ``dev_overrides`` name. Raises EngineError if it does not exist."""
        folder = self._sources.overrides.get(request.source)
        if folder is None:
            return None
        program = provider_sources.override_program(request.source, folder)
        if program is None:
            name = provider_sources.program_name(request.source)
            raise EngineError(f"provider {request.address}: dev_overrides names {folder}, which has no program {name}")
        self._log(LogLevel.INFO, Stage.INSTALLING, f"Using {request.address} of {folder} (dev_overrides)")
        return Package(request.source, "", folder, program)

    def _remembered(self, request: Request) -> Package | None:
        """Return the package that was selected for the same request a while ago."""
        digest = self._store.note(*self._key(request))
        package = self._store.find(request.source, digest) if isinstance(digest, str) else None
        if package is not None:
            text = f"Using {request.address} {package.version} of the cache"
            self._log(LogLevel.INFO, Stage.INSTALLING, text)
        return package

    def _key(self, request: Request) -> tuple[str, ...]:
        return (_VERSION, request.source, request.constraint, request.lock_text, self._sources.fingerprint)

    def _is_offline_cache(self, request: Request) -> bool:
        """True if the store has the provider and the daemon does not ask registries."""
        return not self._settings.network and bool(self._store.packages(request.source))

    # ------------------------------------------------------------------ servers
    def _probe(self, requests: Iterable[Request]) -> bool:
        """Ask each server once whether it answers, all at the same time. Unreachable ones are remembered.

        Returns True if Terraform has to find out.
        """
        urls = {url for request in requests for url in self._servers(request).values() if url}
        urls = {url for url in urls if not self._store.note(_REACHED, url) and not self._why_unreachable(url)}
        if not urls:
            return False
        with ThreadPoolExecutor(len(urls), thread_name_prefix="probe") as threads:
            return any(list(threads.map(self._probe_one, urls)))

    def _probe_one(self, url: str) -> bool:
        with self._store.lock(_REACHED, url, check=self._runtime.check_canceled):
            if self._store.note(_REACHED, url) or self._why_unreachable(url):
                return False
            reach: Reach = probe(url, self._settings.registry_seconds)
            if reach.reason:
                self._is_unreachable(url, reach.reason)
            elif reach.is_certain:
                self._remember(_REACHED, url, "yes")
            return not reach.is_certain

    def _why_unavailable(self, request: Request) -> str:
        """Return why a provider is unavailable if all of its servers are unreachable and the store has no version."""
        methods, reason = self._reachable(self._servers(request))
        return reason if not methods and not self._store.packages(request.source) else ""

    def _reachable(self, servers: dict[Method, str]) -> tuple[tuple[Method, ...], str]:
        """Return the methods whose server is not known to be unreachable, and why the first other one is."""
        unreachable = {url: self._why_unreachable(url) for url in servers.values() if url}
        methods = tuple(method for method, url in servers.items() if not unreachable.get(url))
        return methods, next((f"{_place(url)} cannot be reached: {why}" for url, why in unreachable.items() if why), "")

    def _servers(self, request: Request) -> dict[Method, str]:
        """Return the URL to ask by method, "" for folders."""
        methods = self._sources.methods_for(request.source)
        return {method: self._sources.probe_url(method, request.source) for method in methods}

    def _why_unreachable(self, url: str) -> str:
        """Return why a server could not be reached, "" if that is not known."""
        if known := self._unreachable.get(url):
            return known
        noted = self._store.note(_UNREACHABLE, url)
        return noted if isinstance(noted, str) else ""

    def _is_unreachable(self, url: str, reason: str) -> None:
        self._unreachable[url] = reason
        self._remember(_UNREACHABLE, url, reason)

    def _remember(self, kind: str, url: str, value: str) -> None:
        self._store.remember(kind, url, value=value, seconds=self._settings.registry_cache_seconds)

    # ------------------------------------------------------------------ one provider
    def _install_one(self, request: Request) -> InstalledProvider | str:
        """Install a provider. Returns why if it cannot be reached."""
        found = self._package(request)
        return found if isinstance(found, str) else self._checked(request, found)

    def _package(self, request: Request) -> Package | str:
        with self._store.lock(request.source, check=self._runtime.check_canceled):
            if package := self._remembered(request):  # another job installed it meanwhile
                return package
            servers = self._servers(request)
            methods, reason = self._reachable(servers)
            if methods:
                try:
                    return self._select(request, methods)
                except Unavailable as error:
                    reason = reason or str(error)
                    if error.is_unreachable:
                        for method in methods:
                            if url := servers[method]:
                                self._is_unreachable(url, error.cause)
            return self._from_cache(request, reason or self._sources.refusal(request.source))

    def _select(self, request: Request, methods: tuple[Method, ...]) -> Package:
        """Install by these methods, and remember the selected version. Raises like ``Installation.run``."""
        installation = Installation(self._settings, self._sources, self._store, self._runtime, self._log)
        package = installation.run(request, methods)
        self._check_lock(request, package)
        self._keep(request, package, for_ever=request.is_exact)
        return package

    def _from_cache(self, request: Request, reason: str) -> Package | str:
        """Return a package of the store that satisfies the request, or ``reason`` if there is none."""
        if not self._store.packages(request.source):
            return reason
        installation = Installation(self._settings, self._sources, self._store, self._runtime, self._log)
        try:
            package = installation.run(request, ())
        except Unavailable:
            return f"{reason}; the cache has no version that matches"
        text = f"{reason}; using {request.address} {package.version} of the cache"
        if self._settings.network:
            self._log(LogLevel.WARN, Stage.INSTALLING, text)
        self._keep(request, package, for_ever=request.is_exact)
        return package

    def _keep(self, request: Request, package: Package, *, for_ever: bool) -> None:
        seconds = None if for_ever else self._settings.registry_cache_seconds
        self._store.remember(*self._key(request), value=package.hash, seconds=seconds)

    def _check_lock(self, request: Request, package: Package) -> None:
        """Log what a lock file leaves open."""
        if request.locked is None or package.hash in request.locked.hashes:
            return
        level = LogLevel.INFO if request.locked.hashes else LogLevel.WARN
        self._log(
            level,
            Stage.INSTALLING,
            f"{LOCK_FILE} has no hash of {request.address} {package.version} for {PLATFORM}: the package has "
            f"{package.hash} (terraform providers lock -platform={PLATFORM})",
        )


def _place(url: str) -> str:
    """Return the server of a URL for messages."""
    host = url.split("/")[2] if url.count("/") >= 2 else url
    return f"the registry {host}"


def _serialized(log: Log) -> Log:
    """Return a log that several threads can use."""
    turn = threading.Lock()

    def write(level: LogLevel, stage: str, output: str) -> None:
        with turn:
            log(level, stage, output)

    return write
