"""Fills the queue and has the fleet empty it: ``python -m provisioning.simulation.conductor``, started by ``simulate``.

Standard input has an ``Order``; each round is a line of JSON on standard output. DATABASE_URL names the simulation's
own database, which is migrated first.
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

from provisioning.simulation.fleet import Crew, Took
from provisioning.simulation.rounds import Latency, Order, Round
from provisioning.simulation.scratch import PREFIX


def play(order: Order) -> Iterator[Round]:
    """The rounds, one after the other. The jobs of earlier ones stay in the table, as they do in real life."""
    organization_id, user_id, file_id = _people()
    for daemons in order.daemons:
        processes = min(daemons, order.processes)
        enqueue_us = _enqueue(order.jobs, organization_id, user_id, file_id)
        connections = min(daemons, order.connections)
        crews = [
            Crew(len(range(n, daemons, processes)), max(1, len(range(n, connections, processes))))
            for n in range(processes)
        ]
        seconds, took = _drain(crews)
        claims = [value for one in took for value in one.claims]
        if len(claims) != order.jobs:
            raise AssertionError(f"{len(claims)} of {order.jobs} jobs were taken")
        yield Round(
            daemons=daemons,
            processes=processes,
            connections=sum(crew.connections for crew in crews),
            jobs=order.jobs,
            seconds=round(seconds, 3),
            jobs_per_second=round(order.jobs / seconds, 1),
            enqueue_us=round(enqueue_us),
            claim=Latency.of(claims),
            complete=Latency.of([value for one in took for value in one.completions]),
            miss=Latency.of([value for one in took for value in one.misses]),
            client_cpu_us=round(sum(one.cpu_seconds for one in took) * 1e6 / order.jobs),
        )


def _people() -> tuple[uuid.UUID, uuid.UUID, uuid.UUID]:
    """Whose jobs they are, and the archive of all of them: an empty tar."""
    from coderproj.identity.actor import Actor
    from coderproj.identity.models import Organization, User
    from provisioning.files import stored

    organization = Organization.objects.create(name="simulation")
    user = User.objects.create(username="simulation", email="simulation@example.invalid")
    return organization.pk, user.pk, stored.store(Actor.of(user), bytes(1024)).file.pk


def _enqueue(count: int, organization_id: uuid.UUID, user_id: uuid.UUID, file_id: uuid.UUID) -> float:
    """Microseconds an enqueue."""
    from django.db import transaction

    from provisioning.models import DEFAULT_TAGS, JobType, Provisioner
    from provisioning.queue import jobs

    began = time.perf_counter()
    with transaction.atomic():
        for _ in range(count):
            jobs.enqueue(
                job_type=JobType.DRY_RUN,
                organization_id=organization_id,
                initiator_id=user_id,
                provisioner=Provisioner.ECHO,
                file_id=file_id,
                job_input={},
                tags=DEFAULT_TAGS,
            )
    return (time.perf_counter() - began) * 1e6 / count


def _drain(crews: list[Crew]) -> tuple[float, list[Took]]:
    """Start the processes, give the signal when all are there; seconds until all have found the queue empty."""
    with ExitStack() as stack:
        processes = []
        for crew in crews:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "provisioning.simulation.fleet"],
                    env=os.environ | {"DATABASE_POOL_SIZE": str(max(2, crew.connections))},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            assert process.stdin
            assert process.stdout
            process.stdin.write(msgspec.json.encode(crew) + b"\n")
            process.stdin.flush()
            processes.append((process.stdin, process.stdout))
        for _, answers in processes:
            answers.readline()
        began = time.time()
        for orders, _ in processes:
            orders.write(b"go\n")
            orders.flush()
        took = [msgspec.json.decode(answers.readline(), type=Took) for _, answers in processes]
    return max(one.ended_at for one in took) - began, took


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from provisioning.models import ProvisionerJob

    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    call_command("migrate", verbosity=0)
    if not connection.settings_dict["NAME"].startswith(PREFIX) or ProvisionerJob.objects.exists():
        sys.exit("This database is not a simulation's: nothing was done.")
    for one in play(order):
        sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
