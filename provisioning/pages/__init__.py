"""Pages about work: the queue, jobs and their logs."""
