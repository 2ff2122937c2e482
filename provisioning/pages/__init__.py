"""Pages of the queue, jobs, logs, daemons and provisioner keys."""
