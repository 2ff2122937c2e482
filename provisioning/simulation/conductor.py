"""Fill the queue and let the fleet empty it: ``python -m provisioning.simulation.conductor``, started by ``simulate``.

Reads a ``Settings`` from standard input and writes each round as a line of JSON to standard output. DATABASE_URL names
the simulation's temporary database, which is migrated first.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import django
import msgspec

from provisioning.simulation.fleet import Timing, WorkerGroup
from provisioning.simulation.rounds import Latency, Round, Settings
from provisioning.simulation.scratch import PREFIX


def run_rounds(settings: Settings) -> Iterator[Round]:
    """Run the rounds, one after the other. The jobs of earlier rounds stay in the table, as in production."""
    organization_id, user_id, file_id = _create_job_owner()
    for daemons in settings.daemons:
        processes = min(daemons, settings.processes)
        enqueue_us = _enqueue(settings.jobs, organization_id, user_id, file_id)
        connections = min(daemons, settings.connections)
        groups = [
            WorkerGroup(len(range(n, daemons, processes)), max(1, len(range(n, connections, processes))))
            for n in range(processes)
        ]
        seconds, timings = _drain(groups)
        claims = [value for timing in timings for value in timing.claims]
        if len(claims) != settings.jobs:
            raise AssertionError(f"{len(claims)} of {settings.jobs} jobs were claimed")
        yield Round(
            daemons=daemons,
            processes=processes,
            connections=sum(group.connections for group in groups),
            jobs=settings.jobs,
            seconds=round(seconds, 3),
            jobs_per_second=round(settings.jobs / seconds, 1),
            enqueue_us=round(enqueue_us),
            claim=Latency.of(claims),
            complete=Latency.of([value for timing in timings for value in timing.completions]),
            miss=Latency.of([value for timing in timings for value in timing.misses]),
            client_cpu_us=round(sum(timing.cpu_seconds for timing in timings) * 1e6 / settings.jobs),
        )


def _create_job_owner() -> tuple[uuid.UUID, uuid.UUID, uuid.UUID]:
    """Create the organization, the user and the archive (an empty tar) of all jobs; return their ids."""
    from coderproj.identity.actor import Actor
    from coderproj.identity.models import Organization, User
    from provisioning.files import stored

    organization = Organization.objects.create(name="simulation")
    user = User.objects.create(username="simulation", email="simulation@example.invalid")
    return organization.pk, user.pk, stored.store(Actor.of(user), bytes(1024)).file.pk


def _enqueue(count: int, organization_id: uuid.UUID, user_id: uuid.UUID, file_id: uuid.UUID) -> float:
    """Enqueue jobs; return the microseconds per job."""
    from django.db import transaction

    from provisioning.models import DEFAULT_TAGS, Provisioner
    from provisioning.queue import jobs
    from provisioning.queue.kinds import kinds

    run = next(kind for kind in kinds() if kind.counts_as_run and kind.run is not None)

    began = time.perf_counter()
    with transaction.atomic():
        for _ in range(count):
            jobs.enqueue(
                job_type=run.type,
                organization_id=organization_id,
                initiator_id=user_id,
                provisioner=Provisioner.ECHO,
                file_id=file_id,
                job_input={},
                tags=DEFAULT_TAGS,
            )
    return (time.perf_counter() - began) * 1e6 / count


def _drain(groups: list[WorkerGroup]) -> tuple[float, list[Timing]]:
    """Start the processes and let them begin together; return the seconds until the last job was done."""
    with ExitStack() as stack:
        processes = []
        for group in groups:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "provisioning.simulation.fleet"],
                    env=os.environ | {"DATABASE_POOL_SIZE": str(max(2, group.connections))},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            assert process.stdin
            assert process.stdout
            process.stdin.write(msgspec.json.encode(group) + b"\n")
            process.stdin.flush()
            processes.append((process.stdin, process.stdout))
        for _, answers in processes:
            answers.readline()
        began = time.time()
        for orders, _ in processes:
            orders.write(b"go\n")
            orders.flush()
        timings = [msgspec.json.decode(answers.readline(), type=Timing) for _, answers in processes]
    return max(timing.ended_at for timing in timings) - began, timings


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from provisioning.models import ProvisionerJob

    settings = msgspec.json.decode(sys.stdin.buffer.readline(), type=Settings)
    call_command("migrate", verbosity=0)
    if not connection.settings_dict["NAME"].startswith(PREFIX) or ProvisionerJob.objects.exists():
        sys.exit("DATABASE_URL does not name a simulation database; nothing was changed.")
    for one in run_rounds(settings):
        sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
