"""The worker: a process that runs periodic tasks with Procrastinate. Any number of workers may run."""
