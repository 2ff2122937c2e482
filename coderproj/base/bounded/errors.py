"""Why a bounded process gave no result."""

from coderproj.base.errors import DomainError, TooManyRequests


class OverLimit(DomainError):
    """The task used more processor time, memory or output than it may. A repetition would do the same."""

    status_code = 422
    message = "This takes longer or needs more memory than the server allows."


class TaskFailed(DomainError):
    """The task has a defect. The log has the reason."""

    status_code = 500
    message = "The server could not do this. Its log has the reason."


class PoolBusy(DomainError):
    """All bounded processes are in use, and others wait for them."""

    status_code = 503
    message = "The server is busy with other files. Try again in a few seconds."


class ShareUsedUp(TooManyRequests):
    """The user has as many tasks under way as one user may."""

    message = "You have several of these requests under way. Wait for them and try again."


class ClientGone(DomainError):
    """The client has disconnected, so the process was stopped. Nobody receives this error."""

    status_code = 499
    message = "The client has disconnected."
