"""Install providers other than coder/coder, and cache failures for a while."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from provisioning.engine.base import EngineError, Log, LogLevel, Stage
from provisioning.engine.provider.server import CODER_ADDRESSES
from provisioning.engine.terraform.command import CommandTimeoutError
from provisioning.engine.terraform.job_runtime import CLI_CONFIG, JobRuntime
from provisioning.engine.terraform.output import Diagnostic, Reader, plain_errors, shortened
from provisioning.engine.terraform.settings import EngineSettings

FAILURE_CACHE_SECONDS = 60.0

_INIT = ("init", "-no-color", "-input=false", "-get=false", "-backend=false")
_UNREACHABLE = ("could not connect to", "failed to request discovery document", "no such host", "dial tcp")


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    until: float


class ProviderInstaller:
    """Installs providers for all jobs of a process. Thread-safe."""

    def __init__(self, settings: EngineSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._lock = threading.Lock()

    def install(self, runtime: JobRuntime, addresses: Iterable[str], log: Log) -> dict[str, str]:
        """Install the providers at ``addresses`` into the runtime. Returns the reasons of failures by address.

        Unreachable registries and unavailable providers are not tried again for a minute. Raises EngineError if the
        installation could not be started, Canceled if the job is canceled.
        """
        if self._settings.cli_config is not None and (runtime.directory / "terraform.d").exists():
            raise EngineError("terraform.d: a template must not contain providers")
        failed = {address: reason for address in addresses if (reason := self._skip_reason(address))}
        wanted = [address for address in addresses if address not in failed]
        while wanted:
            log(LogLevel.INFO, Stage.INSTALLING, f"Installing {', '.join(wanted)}")
            reasons = self._init(runtime, wanted, [*CODER_ADDRESSES, *failed], log)
            for address, reason in reasons.items():
                log(LogLevel.DEBUG, Stage.INSTALLING, f"{address}: {reason}")
            failed |= reasons
            wanted = [address for address in wanted if address not in failed] if reasons else []
        return failed

    def _init(self, runtime: JobRuntime, wanted: list[str], others: Iterable[str], log: Log) -> dict[str, str]:
        """Run ``init`` once. Returns the reasons of failures by address, empty if all providers are installed."""
        reader = Reader(lambda text: text, plain_level=LogLevel.DEBUG)
        errors: list[str] = []

        def on_stdout(raw: bytes) -> None:
            for line in reader.stdout(raw):
                log(line.level, Stage.INSTALLING, line.output)

        try:
            result = runtime.run_installing(
                _INIT,
                addresses=others,
                cli_config=self._settings.cli_config or self._cli_config(),
                network=self._settings.network,
                on_stdout=on_stdout,
                on_stderr=lambda raw: errors.append(raw.decode(errors="replace")),
            )
        except CommandTimeoutError:
            reason = f"it took longer than {self._settings.install_seconds:g} seconds"
            return {address: self._cache_failure(address, reason) for address in wanted}
        if result.status == 0:
            return {}
        diagnostics = plain_errors("\n".join(errors))
        found = {
            address: self._explain(address, diagnostic)
            for diagnostic in diagnostics
            for address in wanted
            if address.partition("/")[2] in f"{diagnostic.summary} {diagnostic.detail}"
        }
        if not found and diagnostics and "provider" not in diagnostics[0].summary.lower():
            # The error is in the template, not about providers; its plan would report the same.
            raise EngineError(shortened(str(diagnostics[0])))
        reason = shortened(str(diagnostics[0])) if diagnostics else result.failure_reason(self._settings.limits)
        return found or {address: self._cache_failure(address, reason) for address in wanted}

    def _explain(self, address: str, diagnostic: Diagnostic) -> str:
        if any(sign in diagnostic.detail for sign in _UNREACHABLE):
            host = address.partition("/")[0]
            return self._cache_failure(host, f"the registry {host} cannot be reached")
        return self._cache_failure(address, shortened(str(diagnostic), 300))

    def _skip_reason(self, address: str) -> str:
        """Return why a provider is not tried, or an empty text if it is tried."""
        host = address.partition("/")[0]
        with self._lock:
            for key in (host, address):
                failure = self._failures.get(key)
                if failure is not None and failure.until > self._clock():
                    return failure.reason
        if self._settings.cli_config is not None:
            return ""
        if not self._settings.network:
            return "" if self._settings.plugin_cache is not None else "installing providers is disabled on this daemon"
        return "" if host in self._settings.registries else f"the registry {host} is not allowed on this daemon"

    def _cache_failure(self, key: str, reason: str) -> str:
        with self._lock:
            self._failures[key] = _Failure(reason, self._clock() + FAILURE_CACHE_SECONDS)
        return reason

    def _cli_config(self) -> str:
        """Return Terraform's CLI configuration. Without network access the cache is used as a mirror.

        It always names the source of providers: by default Terraform also runs programs that it finds in
        ``terraform.d`` of the working folder, which belongs to the template.
        """
        direct = "provider_installation {\n  direct {}\n}\n"
        cache = self._settings.plugin_cache
        if cache is None:
            return CLI_CONFIG + direct
        cache.mkdir(parents=True, exist_ok=True)
        quoted = str(cache).replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${")
        if self._settings.network:
            return f'{CLI_CONFIG}plugin_cache_dir = "{quoted}"\n{direct}'
        return f'{CLI_CONFIG}provider_installation {{\n  filesystem_mirror {{\n    path = "{quoted}"\n  }}\n}}\n'
