"""Measure the queue's throughput with simulated daemons that only claim and complete jobs.

``simulate`` uses a temporary database (``scratch``), where the ``conductor`` enqueues jobs and starts the ``fleet``:
processes with a thread for each daemon, which call the queue as real daemons do. Real data is not touched.
"""

from provisioning.simulation.rounds import CannotSimulate, Round, simulate

__all__ = ["CannotSimulate", "Round", "simulate"]
