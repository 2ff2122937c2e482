"""Errors of the domain. ``api.errors`` renders them as the envelope, pages render them as messages.

Messages are shown to users and contain no internals. ``field`` names the invalid input field as the caller wrote it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One invalid field: its name and what is wrong with it."""

    field: str
    detail: str


class DomainError(Exception):
    """A request that fails. ``status_code`` is the HTTP status of the response."""

    status_code = 400
    message = "Invalid request."

    def __init__(self, message: str = "", *, detail: str = "", problems: tuple[Problem, ...] = ()) -> None:
        self.message = message or type(self).message
        self.detail = detail
        self.problems = problems
        super().__init__(self.message)


class Invalid(DomainError):
    """Invalid input."""

    message = "Validation failed."

    @classmethod
    def field(cls, field: str, detail: str, *, message: str = "") -> "Invalid":
        """Return an error about one field."""
        return cls(message, problems=(Problem(field, detail),))


class SignInRequired(DomainError):
    """Missing, invalid, expired or revoked credentials."""

    status_code = 401
    message = "You are signed out or your session has expired. Please sign in again to continue."


class Forbidden(DomainError):
    """The caller may read the object, but the action is not allowed."""

    status_code = 403
    message = "Forbidden."


class NotFound(DomainError):
    """The object does not exist or is not visible to the caller. Both cases give the same response."""

    status_code = 404
    message = "Resource not found or you do not have access to this resource"


class Conflict(DomainError):
    """The current state does not allow the change; usually the name is taken."""

    status_code = 409
    message = "Conflict."

    @classmethod
    def taken(cls, what: str, name: str, *, field: str = "name") -> "Conflict":
        """Return the error for a duplicate name, on create and on rename."""
        return cls(
            f"{'An' if what[0] in 'aeio' else 'A'} {what} named {name!r} already exists.",
            problems=(Problem(field, "This value is already in use and should be unique."),),
        )


class Unfinished(DomainError):
    """The response depends on a job that has not completed."""

    status_code = 412
    message = "The job has not completed yet."


class TooLarge(DomainError):
    status_code = 413
    message = "The request body is too large."


class TooManyRequests(DomainError):
    status_code = 429
    message = "Too many requests. Wait and try again."
