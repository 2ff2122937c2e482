"""Session keys and API tokens."""

from django.db import models

from coderproj.identity.models.users import User


class LoginType(models.TextChoices):
    PASSWORD = "password"  # noqa: S105 - a login type, not a password
    TOKEN = "token"  # noqa: S105


class KeyScope(models.TextChoices):
    ALL = "all"
    APPLICATION_CONNECT = "application_connect"


class ApiKey(models.Model):
    """A session or an API token. The caller holds ``<id>-<secret>``; only the SHA-256 of the secret is stored.

    The expiry slides: a use after the first hour of ``lifetime_seconds`` moves ``expires_at``.
    """

    id = models.CharField(primary_key=True, max_length=10, editable=False)
    hashed_secret = models.BinaryField(max_length=32, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=64, blank=True, default="")
    login_type = models.CharField(max_length=16, choices=LoginType.choices, default=LoginType.PASSWORD)
    scope = models.CharField(max_length=32, choices=KeyScope.choices, default=KeyScope.ALL)
    lifetime_seconds = models.BigIntegerField()
    last_used = models.DateTimeField(null=True, blank=True)
    ip_address = models.GenericIPAddressField(null=True, blank=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"], condition=~models.Q(name=""), name="identity_apikey_name_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.id


class SuspendedKey(models.Model):
    """A key that ended when its user was suspended. It is valid for nothing; its holder gets a 401 that says why.
    Activating or deleting the user removes it."""

    id = models.CharField(primary_key=True, max_length=10, editable=False)
    hashed_secret = models.BinaryField(max_length=32, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="suspended_keys")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.id
