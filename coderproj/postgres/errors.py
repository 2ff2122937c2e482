"""Errors of the embedded server."""


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be started or kept running. The message says what the operator can do."""
