"""The base class of commands that queue jobs."""

import time
from collections.abc import Iterator
from typing import Any

from coderproj.base.terminal import TerminalOutput
from coderproj.commands import ActingCommand
from provisioning.log.reading import follow_lines
from provisioning.models import ProvisionerDaemon, ProvisionerJob


class JobCommand(ActingCommand):
    """A command that shows the log of a job and waits for its end."""

    def watch(self, job: ProvisionerJob, name: str) -> None:
        """Show the job's log until it ends, then reload the job. ``name`` is the job's name at the start of a
        sentence."""
        if not ProvisionerDaemon.objects.online().exists():
            self.stderr.write(f"No daemon is online. {name} waits until one is started (manage.py up or provisionerd).")
        lines = timed_lines(job)
        if self.as_json:
            for _ in lines:
                pass
        else:
            TerminalOutput(self.console).job(lines)
        job.refresh_from_db()


def timed_lines(job: ProvisionerJob) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield the job's log lines with the times of their arrival."""
    for line in follow_lines(job.pk):
        yield time.perf_counter(), {"stage": line.stage, "log_level": line.level, "output": line.output}
