"""Following a job's log while it grows.

``hub`` has one of each per process: a LISTEN connection (``listener``) and, for each followed job, a tailer that reads
new lines once and hands the same bytes (``batches``) to every follower's bounded queue. Notifications only wake;
lines always come from the table (``store``), so none can be lost, repeated or out of order. ``carriers`` sends them
over a WebSocket, as server-sent events or as a JSON array that stays open.
"""
