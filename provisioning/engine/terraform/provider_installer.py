"""Installing providers other than our own, and remembering for a while what could not be installed."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from provisioning.engine.base import EngineError, Log, LogLevel, Stage
from provisioning.engine.provider.server import CODER_ADDRESSES
from provisioning.engine.terraform.command import OutOfTimeError
from provisioning.engine.terraform.job_runtime import CLI_CONFIG, JobRuntime
from provisioning.engine.terraform.output import Diagnostic, Reader, plain_errors, shortened
from provisioning.engine.terraform.settings import EngineSettings

REMEMBERED_SECONDS = 60.0

_INIT = ("init", "-no-color", "-input=false", "-get=false", "-backend=false")
_UNREACHABLE = ("could not connect to", "failed to request discovery document", "no such host", "dial tcp")


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    until: float


class ProviderInstaller:
    """Installs providers for jobs. One for all jobs of a process; its methods may be called from several threads."""

    def __init__(self, settings: EngineSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._failures: dict[str, _Failure] = {}
        self._lock = threading.Lock()

    def install(self, workplace: JobRuntime, addresses: Iterable[str], log: Log) -> dict[str, str]:
        """Install the providers at ``addresses`` into the workplace; returns why for those that could not be.

        A registry that cannot be reached, and a provider that cannot be had, are not tried again for a minute. Raises
        EngineError when the installation could not even be started, Canceled when the job is to end.
        """
        if self._settings.cli_config is not None and (workplace.directory / "terraform.d").exists():
            raise EngineError("terraform.d: a template may not bring providers of its own")
        failed = {address: reason for address in addresses if (reason := self._known_reason(address))}
        wanted = [address for address in addresses if address not in failed]
        while wanted:
            log(LogLevel.INFO, Stage.INSTALLING, f"Installing {', '.join(wanted)}")
            reasons = self._init(workplace, wanted, [*CODER_ADDRESSES, *failed], log)
            for address, reason in reasons.items():
                log(LogLevel.DEBUG, Stage.INSTALLING, f"{address}: {reason}")
            failed |= reasons
            wanted = [address for address in wanted if address not in failed] if reasons else []
        return failed

    def _init(self, workplace: JobRuntime, wanted: list[str], others: Iterable[str], log: Log) -> dict[str, str]:
        """Run ``init`` once; returns why for those that failed, none when all of them are installed."""
        reader = Reader(lambda text: text, plain_level=LogLevel.DEBUG)
        errors: list[str] = []

        def on_stdout(raw: bytes) -> None:
            for line in reader.stdout(raw):
                log(line.level, Stage.INSTALLING, line.output)

        try:
            ended = workplace.run_installing(
                _INIT,
                addresses=others,
                cli_config=self._settings.cli_config or self._cli_config(),
                network=self._settings.network,
                on_stdout=on_stdout,
                on_stderr=lambda raw: errors.append(raw.decode(errors="replace")),
            )
        except OutOfTimeError:
            reason = f"it took longer than {self._settings.install_seconds:g} seconds"
            return {address: self._remember(address, reason) for address in wanted}
        if ended.status == 0:
            return {}
        diagnostics = plain_errors("\n".join(errors))
        found = {
            address: self._explain(address, diagnostic)
            for diagnostic in diagnostics
            for address in wanted
            if address.partition("/")[2] in f"{diagnostic.summary} {diagnostic.detail}"
        }
        if not found and diagnostics and "provider" not in diagnostics[0].summary.lower():
            # Not about providers: the template is at fault, and its plan would say the same.
            raise EngineError(shortened(str(diagnostics[0])))
        reason = shortened(str(diagnostics[0])) if diagnostics else ended.reason(self._settings.limits)
        return found or {address: self._remember(address, reason) for address in wanted}

    def _explain(self, address: str, diagnostic: Diagnostic) -> str:
        if any(sign in diagnostic.detail for sign in _UNREACHABLE):
            host = address.partition("/")[0]
            return self._remember(host, f"the registry {host} cannot be reached")
        return self._remember(address, shortened(str(diagnostic), 300))

    def _known_reason(self, address: str) -> str:
        """Why a provider need not be tried, empty when it is to be tried."""
        host = address.partition("/")[0]
        with self._lock:
            for key in (host, address):
                failure = self._failures.get(key)
                if failure is not None and failure.until > self._clock():
                    return failure.reason
        if self._settings.cli_config is not None:
            return ""
        if not self._settings.network:
            return "" if self._settings.plugin_cache is not None else "providers are not installed here"
        return "" if host in self._settings.registries else f"the registry {host} is not allowed here"

    def _remember(self, key: str, reason: str) -> str:
        with self._lock:
            self._failures[key] = _Failure(reason, self._clock() + REMEMBERED_SECONDS)
        return reason

    def _cli_config(self) -> str:
        """Terraform's CLI configuration. The cache has the layout of a mirror, and is one where there is no network.

        It says where providers come from in any case: by default Terraform also takes programs that it finds in
        ``terraform.d`` of the working folder, which is the template's.
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
