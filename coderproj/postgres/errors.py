"""What goes wrong with the embedded server."""


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot be started or kept alive; the message says what an operator can do about
    it.
    """
