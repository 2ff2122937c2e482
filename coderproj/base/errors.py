"""What can go wrong, in the words of the product. ``api.errors`` renders these as the envelope, pages as messages.

Texts are for users and hold no internals. ``field`` names the offending field of the input as the caller wrote it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One invalid field: its name and what is wrong with it."""

    field: str
    detail: str


class DomainError(Exception):
    """A request that cannot be carried out. ``status_code`` is the HTTP status that says the same."""

    status_code = 400
    message = "Invalid request."

    def __init__(self, message: str = "", *, detail: str = "", problems: tuple[Problem, ...] = ()) -> None:
        self.message = message or type(self).message
        self.detail = detail
        self.problems = problems
        super().__init__(self.message)


class Invalid(DomainError):
    """Input that breaks a rule."""

    message = "Validation failed."

    @classmethod
    def field(cls, field: str, detail: str, *, message: str = "") -> "Invalid":
        """An error about one field."""
        return cls(message, problems=(Problem(field, detail),))


class SignInRequired(DomainError):
    """No credentials, or none that count (any more)."""

    status_code = 401
    message = "You are signed out or your session has expired. Please sign in again to continue."


class Forbidden(DomainError):
    """An object the caller may read, and an action that is not allowed on it."""

    status_code = 403
    message = "Forbidden."


class NotFound(DomainError):
    """No such object, or none that the caller may know of: both answer alike."""

    status_code = 404
    message = "Resource not found or you do not have access to this resource"


class Conflict(DomainError):
    """The state of an object forbids it, most often a taken name."""

    status_code = 409
    message = "Conflict."

    @classmethod
    def taken(cls, what: str, name: str, *, field: str = "name") -> "Conflict":
        """A duplicate name, on create and on rename."""
        return cls(
            f"{'An' if what[0] in 'aeio' else 'A'} {what} named {name!r} already exists.",
            problems=(Problem(field, "This value is already in use and should be unique."),),
        )


class Unfinished(DomainError):
    """The answer depends on a job that has not completed."""

    status_code = 412
    message = "The job has not completed yet."


class TooLarge(DomainError):
    status_code = 413
    message = "The request body is too large."


class TooManyRequests(DomainError):
    status_code = 429
    message = "Too many requests: please wait and try again."
