"""Fetch modules from outside the template, and cache failures for a while."""

import threading
import time
from collections.abc import Callable, Iterable

from provisioning.engine.base import Log, LogLevel, Stage
from provisioning.engine.hcl import Module, ModuleCall
from provisioning.engine.terraform.command import CommandTimeoutError
from provisioning.engine.terraform.job_runtime import CLI_CONFIG, JobRuntime
from provisioning.engine.terraform.module_manifest import remote_calls, without_credentials, write_manifest
from provisioning.engine.terraform.output import Diagnostic, Reader, plain_errors, shortened
from provisioning.engine.terraform.settings import EngineSettings

FAILURE_CACHE_SECONDS = 60.0

_GET = ("get", "-no-color")
_NOT_ALLOWED = "fetching modules from outside the template is disabled on this daemon"


class ModuleFetcher:
    """Fetches modules for all jobs of a process. Thread-safe."""

    def __init__(self, settings: EngineSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._failures: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def fetch(self, runtime: JobRuntime, module: Module, log: Log) -> dict[str, str]:
        """Fetch the remote modules of a template into the runtime. Returns the reasons of failures by module key.

        Fetched modules are recorded in the manifest. Failed ones are not tried again for a minute. Raises EngineError
        if fetching could not be started, Canceled if the job is canceled.
        """
        calls = remote_calls(module)
        if not (self._settings.network and self._settings.remote_modules):
            return {call.key: _NOT_ALLOWED for call in calls}
        failed = {call.key: reason for call in calls if (reason := self._cached_reason(call))}
        wanted = [call for call in calls if call.key not in failed]
        while wanted:
            log(LogLevel.INFO, Stage.INSTALLING, f"Fetching {', '.join(f'module {call.key}' for call in wanted)}")
            write_manifest(module, runtime.directory, runtime.data, failed, runtime.registry)
            reasons = self._get(runtime, wanted, log)
            failed |= reasons
            wanted = [call for call in wanted if call.key not in failed] if reasons else []
        return failed

    def _get(self, runtime: JobRuntime, wanted: list[ModuleCall], log: Log) -> dict[str, str]:
        """Run ``get`` once. Returns the reasons of failures by module key, empty if all modules are available."""
        reader = Reader(without_credentials, plain_level=LogLevel.DEBUG)
        errors: list[str] = []

        def on_stdout(raw: bytes) -> None:
            for line in reader.stdout(raw):
                log(line.level, Stage.INSTALLING, line.output)

        try:
            result = runtime.run_installing(
                _GET,
                addresses=(),
                cli_config=self._settings.cli_config or CLI_CONFIG,
                network=True,
                on_stdout=on_stdout,
                on_stderr=lambda raw: errors.append(raw.decode(errors="replace")),
            )
        except CommandTimeoutError:
            return self._cache_failure(wanted, f"it took longer than {self._settings.install_seconds:g} seconds")
        if result.status == 0:
            return {}
        diagnostics = plain_errors(without_credentials("\n".join(errors)))
        found: dict[str, str] = {}
        for diagnostic in diagnostics:
            found |= self._cache_failure(_calls_in(diagnostic, wanted), shortened(str(diagnostic), 300))
        reason = shortened(str(diagnostics[0]), 300) if diagnostics else result.failure_reason(self._settings.limits)
        return found or self._cache_failure(wanted, reason)

    def _cached_reason(self, call: ModuleCall) -> str:
        with self._lock:
            reason, until = self._failures.get(call.source, ("", 0.0))
        return reason if until > self._clock() else ""

    def _cache_failure(self, calls: Iterable[ModuleCall], reason: str) -> dict[str, str]:
        found = {}
        with self._lock:
            for call in calls:
                self._failures[call.source] = reason, self._clock() + FAILURE_CACHE_SECONDS
                found[call.key] = reason
        return found


def _calls_in(diagnostic: Diagnostic, calls: list[ModuleCall]) -> list[ModuleCall]:
    """Return the calls that an error of ``get`` names, if possible by their location."""
    text = f"{diagnostic.summary} {diagnostic.detail}"
    named = [call for call in calls if f'"{call.name}"' in text]
    return [call for call in named if f"({call.location})" in text] or named
