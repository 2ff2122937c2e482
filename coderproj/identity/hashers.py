"""Password hashing."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from coderproj.web.one_processor import anywhere


class PasswordHasher(PBKDF2PasswordHasher):
    """Django's own. It takes a third of a second outside of the interpreter's lock, so in the web process it may have
    another processor: sign-ins of the same moment do not queue for the one of the requests."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with anywhere():
            return super().encode(password, salt, iterations)
