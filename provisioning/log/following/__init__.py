"""Follow a job's log while it grows.

``hub`` has, once per process, a LISTEN connection (``listener``) and, for each followed job, a tailer that reads new
lines once and puts the same bytes (``batches``) into every follower's bounded queue. Notifications only wake the
tailers; lines always come from the table (``store``), so none can be lost, repeated or out of order. ``transports``
sends them over a WebSocket, as server-sent events or as a JSON array that stays open. ``waiters`` and ``job_waits``
answer daemons that wait for jobs.
"""
