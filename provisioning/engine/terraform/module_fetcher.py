"""Fetch modules from outside the template, and cache failures for a while."""

import functools
import os
import shlex
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from provisioning.engine.base import EngineError, Log, LogLevel, Stage
from provisioning.engine.hcl import Module, ModuleCall
from provisioning.engine.terraform import provider_sources
from provisioning.engine.terraform.command import CommandTimeoutError
from provisioning.engine.terraform.environment import write_private
from provisioning.engine.terraform.job_runtime import JobRuntime
from provisioning.engine.terraform.module_cache import ModuleCache
from provisioning.engine.terraform.module_manifest import (
    record_modules,
    remote_calls,
    without_credentials,
    write_manifest,
)
from provisioning.engine.terraform.output import (
    MAX_REASON_LENGTH,
    Diagnostic,
    Reader,
    diagnostic_lines,
    plain_diagnostics,
    shortened,
)
from provisioning.engine.terraform.provider_sources import ProviderSources
from provisioning.engine.terraform.provider_store import ProviderStore, open_store
from provisioning.engine.terraform.settings import EngineSettings

_FAILURE = "module failure"
_GET = ("get", "-no-color")
_NOT_ALLOWED = "fetching modules from outside the template is disabled on this daemon"


class ModuleFetcher:
    """Fetches modules for all jobs of a process. Thread-safe. With a store, all processes of the machine share it."""

    def __init__(self, settings: EngineSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._failures: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @functools.cached_property
    def _sources(self) -> ProviderSources:
        return provider_sources.load(self._settings)

    @functools.cached_property
    def _store(self) -> ProviderStore | None:
        return open_store(self._settings, self._sources)

    def fetch(self, runtime: JobRuntime, module: Module, log: Log) -> dict[str, str]:
        """Fetch the remote modules of a template into the runtime. Returns the reasons of failures by module key.

        Fetched modules are recorded in the manifest and kept in the store. Failed ones are not tried again for a while.
        Raises EngineError if fetching could not be started, Canceled if the job is canceled.
        """
        calls = remote_calls(module)
        if not (self._settings.network and self._settings.remote_modules):
            return {call.key: _NOT_ALLOWED for call in calls}
        failed = {call.key: reason for call in calls if (reason := self._cached_reason(call))}
        wanted = [call for call in calls if call.key not in failed]
        restored = self._restore(wanted, runtime, log)
        while wanted:
            log(LogLevel.INFO, Stage.INSTALLING, f"Fetching {', '.join(f'module {call.key}' for call in wanted)}")
            write_manifest(module, runtime.directory, runtime.data, failed, runtime.registry)
            reasons = self._get(runtime, wanted, log)
            failed |= reasons
            if not reasons:
                self._keep([call for call in wanted if call.key not in restored], runtime)
                break
            wanted = [call for call in wanted if call.key not in failed]
        return failed

    def _restore(self, calls: list[ModuleCall], runtime: JobRuntime, log: Log) -> set[str]:
        """Copy stored modules into the runtime and record them in the manifest. Returns their keys."""
        if self._store is None:
            return set()
        cache = ModuleCache(self._store, self._settings.registry_cache_seconds)
        records = [record for call in calls if (record := cache.restore(call, runtime.data))]
        if records:
            record_modules(runtime.data, records)
            names = ", ".join(f"module {record['Key']}" for record in records)
            log(LogLevel.INFO, Stage.INSTALLING, f"Using {names} of the cache")
        return {record["Key"] for record in records}

    def _keep(self, calls: list[ModuleCall], runtime: JobRuntime) -> None:
        if self._store is not None and calls:
            cache = ModuleCache(self._store, self._settings.registry_cache_seconds)
            cache.keep(calls, runtime.directory, runtime.data)

    def _get(self, runtime: JobRuntime, wanted: list[ModuleCall], log: Log) -> dict[str, str]:
        """Run ``get`` once. Returns the reasons of failures by module key, empty if all modules are available."""
        reader = Reader(without_credentials, plain_level=LogLevel.DEBUG)
        errors: list[str] = []

        def on_stdout(raw: bytes) -> None:
            for line in reader.stdout(raw):
                log(line.level, Stage.INSTALLING, line.output)

        config = provider_sources.DISABLE_CHECKPOINT + self._sources.other
        path = runtime.folder / "get.rc"
        path.unlink(missing_ok=True)
        try:
            result = runtime.run_installing(
                _GET,
                directory=runtime.directory,
                home=runtime.folder,
                cli_config=write_private(path, config),
                network=True,
                variables=_git_variables(self._settings.git_credentials),
                read=() if self._settings.git_credentials is None else (self._settings.git_credentials,),
                on_stdout=on_stdout,
                on_stderr=lambda raw: errors.append(raw.decode(errors="replace")),
            )
        except CommandTimeoutError:
            return self._cache_failure(wanted, f"it took longer than {self._settings.install_seconds:g} seconds")
        finally:
            path.unlink(missing_ok=True)  # it can have credentials, and the template's plan can read this folder
        diagnostics = plain_diagnostics(without_credentials("\n".join(errors)))
        failed = [one for one in diagnostics if one.severity == "error"]
        unrelated = next((one for one in failed if not _calls_in(one, wanted)), None)
        for line in diagnostic_lines(diagnostics):
            # A module that stubs can replace is worth a warning.
            log(line.level if unrelated else LogLevel.WARN, Stage.INSTALLING, line.output)
        if result.status == 0:
            return {}
        if unrelated is not None:
            raise EngineError(shortened(str(unrelated)))
        found: dict[str, str] = {}
        for diagnostic in failed:
            found |= self._cache_failure(_calls_in(diagnostic, wanted), _reason(diagnostic))
        return found or self._cache_failure(wanted, result.failure_reason(self._settings.limits))

    def _cached_reason(self, call: ModuleCall) -> str:
        if self._store is not None:
            known = self._store.note(_FAILURE, call.source, call.version)
            return known if isinstance(known, str) else ""
        with self._lock:
            reason, until = self._failures.get(call.source, ("", 0.0))
        return reason if until > self._clock() else ""

    def _cache_failure(self, calls: Iterable[ModuleCall], reason: str) -> dict[str, str]:
        found = {}
        seconds = self._settings.registry_cache_seconds
        for call in calls:
            found[call.key] = reason
            if self._store is not None:
                self._store.remember(_FAILURE, call.source, call.version, value=reason, seconds=seconds)
                continue
            with self._lock:
                self._failures[call.source] = reason, self._clock() + seconds
        return found


def _git_variables(credentials: Path | None) -> dict[str, str]:
    """Return the variables for ``git``: no configuration of the machine, which the sandbox hides, and no questions.

    ``credentials`` is a file of git's credential store; git sends a line's password only to the line's host.
    """
    found = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    if bundle := os.environ.get("SSL_CERT_FILE"):
        found["GIT_SSL_CAINFO"] = bundle
    if credentials is not None:
        found |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "credential.helper",
            "GIT_CONFIG_VALUE_0": f"store --file={shlex.quote(str(credentials))}",
        }
    return found


def _reason(diagnostic: Diagnostic) -> str:
    """Return a short text with the cause, which is at the end."""
    text = " ".join(f"{diagnostic.summary}: {diagnostic.detail}".split())
    return text if len(text) <= MAX_REASON_LENGTH else f"…{text[1 - MAX_REASON_LENGTH :]}"


def _calls_in(diagnostic: Diagnostic, calls: list[ModuleCall]) -> list[ModuleCall]:
    """Return the calls that an error of ``get`` names, if possible by their location."""
    text = f"{diagnostic.summary} {diagnostic.detail}"
    named = [call for call in calls if f'"{call.name}"' in text]
    return [call for call in named if f"({call.location})" in text] or named
