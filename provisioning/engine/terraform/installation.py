"""Install one provider with ``terraform init`` in a folder of its own, and store its package."""

import json
from dataclasses import dataclass
from pathlib import Path

from provisioning.engine.base import EngineError, Log, LogLevel, Stage
from provisioning.engine.terraform import lock_file
from provisioning.engine.terraform.command import CommandTimeoutError, ExitResult
from provisioning.engine.terraform.environment import write_private
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.lock_file import LOCK_FILE, Locked
from provisioning.engine.terraform.output import (
    MAX_REASON_LENGTH,
    Diagnostic,
    diagnostic_lines,
    plain_diagnostics,
    shortened,
)
from provisioning.engine.terraform.provider_sources import Method, ProviderSources, mirror
from provisioning.engine.terraform.provider_store import PLATFORM, Package, ProviderStore, archive_hashes
from provisioning.engine.terraform.settings import EngineSettings

_INIT = ("init", "-no-color", "-input=false", "-backend=false")
# Parts of Terraform's messages. Anything else means that a server answered, and its answer is final.
_UNREACHABLE = (
    "could not connect to",
    "failed to request discovery document",
    "no such host",
    "dial tcp",
    "connection refused",
    "connection reset",
    "timeout",
    "deadline exceeded",
    "tls:",
    "x509:",
    ": EOF",
    "unexpected EOF",
    "please try again later",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Timeout",
    "429 Too Many Requests",
)
_NOT_IN_MIRRORS = ("was not found in any of the search locations", "was not found locally")
_NO_MATCH = "no available releases match"
_WRONG_HASH = "match any of the checksums"
_CAUSE_STARTS = ("could not connect to ", "could not query provider registry ")


class Unavailable(Exception):
    """Raised if a provider cannot be reached. ``cause`` is what the server or network said."""

    def __init__(self, reason: str, *, cause: str = "", is_unreachable: bool = False) -> None:
        super().__init__(reason)
        self.cause = cause or reason
        self.is_unreachable = is_unreachable


@dataclass(frozen=True, slots=True)
class Request:
    """A provider that a template uses: its ``address`` in the template, its ``source`` for this Terraform, its version
    ``constraints``, and its entry in the template's lock file."""

    address: str
    source: str
    constraints: tuple[str, ...] = ()
    locked: Locked | None = None

    @property
    def constraint(self) -> str:
        return ", ".join(self.constraints)

    @property
    def lock_text(self) -> str:
        """The lock file's entry as a text to compare."""
        return "" if self.locked is None else json.dumps([self.locked.version, sorted(self.locked.hashes)])

    @property
    def is_exact(self) -> bool:
        """True if only one version can satisfy the request, so that its selection never changes."""
        parts = [part.strip() for one in self.constraints for part in one.split(",")]
        return self.locked is not None or any(part[:1] == "=" or part[:1].isdigit() for part in parts)


class Installation:
    """Installs providers for one job."""

    def __init__(
        self, settings: EngineSettings, sources: ProviderSources, store: ProviderStore, runtime: JobRuntime, log: Log
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._store = store
        self._runtime = runtime
        self._log = log

    def run(self, request: Request, methods: tuple[Method, ...]) -> Package:
        """Install by these methods, or only from the store if there are none. Stored packages are not downloaded again.

        Raises Unavailable if the provider cannot be reached, and EngineError if it does not exist or is damaged.
        """
        with self._store.staging() as folder:
            errors: list[str] = []
            try:
                result = self._init(folder, request, methods, errors)
            except CommandTimeoutError:
                reason = f"installing took longer than {self._settings.install_seconds:g} seconds"
                raise Unavailable(reason, is_unreachable=True) from None
            diagnostics = plain_diagnostics("\n".join(errors))
            if result.status == 0:
                self._write(diagnostics)
                return self._adopt(folder, request)
            raise self._failure(request, methods, diagnostics, result)

    def _init(self, folder: Path, request: Request, methods: tuple[Method, ...], errors: list[str]) -> ExitResult:
        cache = self._linked(folder / "cache", request)
        provider = {"source": request.source} | ({"version": request.constraint} if request.constraints else {})
        content = {"terraform": [{"required_providers": [{"provider": provider}]}]}
        (folder / "main.tf.json").write_text(json.dumps(content))
        if request.locked is not None:
            known = [package.hash for package in self._store.known(request.source) if package.matches(request.locked)]
            hashes = known if request.locked.hashes else ()
            (folder / LOCK_FILE).write_text(lock_file.text(request.source, request.locked, more=hashes))
        config = (
            self._sources.config(methods, cache=cache, trust_cache=request.locked is None)
            if methods
            else self._sources.config([mirror(cache)])
        )
        return self._runtime.run_installing(
            _INIT,
            directory=folder,
            home=folder,
            cli_config=write_private(folder / "install.rc", config),
            read=(self._store.root / "packages", *self._sources.folders, *self._store.packages(request.source)),
            network=any(not method.is_folder for method in methods),
            on_stdout=self._on_stdout,
            on_stderr=lambda raw: errors.append(raw.decode(errors="replace")),
        )

    def _linked(self, cache: Path, request: Request) -> Path:
        """Return a plugin cache of this installation alone, with links to the stored versions of the provider."""
        cache.mkdir()
        for package in self._store.packages(request.source):
            link = cache / request.source / package.parent.name / PLATFORM
            link.parent.mkdir(parents=True)
            link.symlink_to(package.resolve())
        return cache

    def _on_stdout(self, raw: bytes) -> None:
        text = raw.decode(errors="replace")
        if text.startswith("- "):  # progress; the rest is about the folder
            self._log(LogLevel.DEBUG, Stage.INSTALLING, text.removeprefix("- "))

    def _write(self, diagnostics: list[Diagnostic], *, most: LogLevel = LogLevel.ERROR) -> None:
        for line in diagnostic_lines(diagnostics):
            self._log(min(line.level, most, key=_SEVERITY.index), Stage.INSTALLING, line.output)

    def _adopt(self, folder: Path, request: Request) -> Package:
        selected = lock_file.read(folder).get(request.source)
        if selected is None:
            raise EngineError(f"provider {request.address}: Terraform selected no version")
        content = folder / "data" / "providers" / request.source / selected.version / PLATFORM
        # The hashes of a template's lock file are claims; those of a new one come from the registry.
        published = archive_hashes(selected.hashes) if request.locked is None else frozenset[str]()
        try:
            package = self._store.adopt(request.source, selected.version, content, published)
        except OSError as error:
            raise EngineError(f"provider {request.address} cannot be stored: {error.strerror}") from error
        if package is None:
            raise EngineError(f"provider {request.address} {selected.version} has no program in its package")
        return package

    def _failure(
        self, request: Request, methods: tuple[Method, ...], diagnostics: list[Diagnostic], result: ExitResult
    ) -> Exception:
        """Return the exception for a failed ``init``, and log its diagnostics."""
        errors = [one for one in diagnostics if one.severity == "error"]
        text = " ".join(f"{one.summary} {one.detail}" for one in errors)
        unavailable = self._unavailable(methods, errors, text)
        self._write(diagnostics, most=LogLevel.WARN if unavailable else LogLevel.ERROR)
        if unavailable:
            return unavailable
        if _WRONG_HASH in text and request.locked is not None:
            return EngineError(
                f"provider {request.address} {request.locked.version}: its package for {PLATFORM} does not match any "
                f"hash in {LOCK_FILE}. If the file was written on another platform, add the hashes with "
                f"`terraform providers lock -platform={PLATFORM}`"
            )
        reason = _first_paragraph(errors) or result.failure_reason(self._settings.limits)
        return EngineError(shortened(f"provider {request.address} could not be installed: {reason}"))

    def _unavailable(self, methods: tuple[Method, ...], errors: list[Diagnostic], text: str) -> Unavailable | None:
        if any(sign in text for sign in _UNREACHABLE):
            cause = _cause(_first_paragraph(errors))
            return Unavailable(cause, cause=cause, is_unreachable=True)
        has_registry = any(method.is_direct for method in methods)
        if not has_registry and any(sign in text for sign in (*_NOT_IN_MIRRORS, _NO_MATCH)):
            return Unavailable(_ending(_first_paragraph(errors)))
        return None


_SEVERITY = list(LogLevel)  # in the order of their declaration


def _first_paragraph(errors: list[Diagnostic]) -> str:
    if not errors:
        return ""
    first = errors[0].detail.split("\n\n", 1)[0]
    return f"{errors[0].summary}: {first}" if first else errors[0].summary


def _cause(text: str) -> str:
    """Return the end of a message, from the failed connection on: the cause is its last part."""
    for start in _CAUSE_STARTS:
        if start in text:
            text = start + text.partition(start)[2]
            break
    return _ending(text)


def _ending(text: str) -> str:
    return text if len(text) <= MAX_REASON_LENGTH else f"…{text[1 - MAX_REASON_LENGTH :]}"
