"""A fleet of daemons that do nothing but take jobs and end them, to see what the queue bears.

``simulate`` works in a database of its own (``scratch``), where the ``conductor`` enqueues jobs and starts the
``fleet``: processes with a thread for each daemon, which call ``provisioning.queue.jobs`` as real daemons do. Nothing
real is touched.
"""

from provisioning.simulation.rounds import CannotSimulate, Round, simulate

__all__ = ["CannotSimulate", "Round", "simulate"]
