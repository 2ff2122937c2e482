"""Fetching modules from outside of the template, and remembering for a while what could not be fetched."""

import threading
import time
from collections.abc import Callable, Iterable

from provisioning.engine.base import Log, LogLevel, Stage
from provisioning.engine.hcl import Module, ModuleCall
from provisioning.engine.terraform.command import OutOfTimeError
from provisioning.engine.terraform.job_runtime import CLI_CONFIG, JobRuntime
from provisioning.engine.terraform.module_manifest import remote_calls, without_users, write_manifest
from provisioning.engine.terraform.output import Diagnostic, Reader, plain_errors, shortened
from provisioning.engine.terraform.settings import EngineSettings

REMEMBERED_SECONDS = 60.0

_GET = ("get", "-no-color")
_NOT_ALLOWED = "modules from outside of the template are not fetched here"


class ModuleFetcher:
    """Fetches modules for jobs. One for all jobs of a process; its methods may be called from several threads."""

    def __init__(self, settings: EngineSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._failures: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def fetch(self, workplace: JobRuntime, module: Module, log: Log) -> dict[str, str]:
        """Fetch the remote modules of a template into the workplace; returns why by key for those that could not be.

        The manifest records the others. What could not be fetched is not tried again for a minute. Raises EngineError
        when fetching could not even be started, Canceled when the job is to end.
        """
        calls = remote_calls(module)
        if not (self._settings.network and self._settings.remote_modules):
            return {call.key: _NOT_ALLOWED for call in calls}
        failed = {call.key: reason for call in calls if (reason := self._known_reason(call))}
        wanted = [call for call in calls if call.key not in failed]
        while wanted:
            log(LogLevel.INFO, Stage.INSTALLING, f"Fetching {', '.join(f'module {call.key}' for call in wanted)}")
            write_manifest(module, workplace.directory, workplace.data, failed, workplace.registry)
            reasons = self._get(workplace, wanted, log)
            failed |= reasons
            wanted = [call for call in wanted if call.key not in failed] if reasons else []
        return failed

    def _get(self, workplace: JobRuntime, wanted: list[ModuleCall], log: Log) -> dict[str, str]:
        """Run ``get`` once; returns why for those that failed, none when all of them are there."""
        reader = Reader(without_users, plain_level=LogLevel.DEBUG)
        errors: list[str] = []

        def on_stdout(raw: bytes) -> None:
            for line in reader.stdout(raw):
                log(line.level, Stage.INSTALLING, line.output)

        try:
            ended = workplace.run_installing(
                _GET,
                addresses=(),
                cli_config=self._settings.cli_config or CLI_CONFIG,
                network=True,
                on_stdout=on_stdout,
                on_stderr=lambda raw: errors.append(raw.decode(errors="replace")),
            )
        except OutOfTimeError:
            return self._remember(wanted, f"it took longer than {self._settings.install_seconds:g} seconds")
        if ended.status == 0:
            return {}
        diagnostics = plain_errors(without_users("\n".join(errors)))
        found: dict[str, str] = {}
        for diagnostic in diagnostics:
            found |= self._remember(_calls_in(diagnostic, wanted), shortened(str(diagnostic), 300))
        reason = shortened(str(diagnostics[0]), 300) if diagnostics else ended.reason(self._settings.limits)
        return found or self._remember(wanted, reason)

    def _known_reason(self, call: ModuleCall) -> str:
        with self._lock:
            reason, until = self._failures.get(call.source, ("", 0.0))
        return reason if until > self._clock() else ""

    def _remember(self, calls: Iterable[ModuleCall], reason: str) -> dict[str, str]:
        found = {}
        with self._lock:
            for call in calls:
                self._failures[call.source] = reason, self._clock() + REMEMBERED_SECONDS
                found[call.key] = reason
        return found


def _calls_in(diagnostic: Diagnostic, calls: list[ModuleCall]) -> list[ModuleCall]:
    """The calls that an error of ``get`` is about: it names them and where they are."""
    text = f"{diagnostic.summary} {diagnostic.detail}"
    named = [call for call in calls if f'"{call.name}"' in text]
    return [call for call in named if f"({call.location})" in text] or named
