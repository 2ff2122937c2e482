"""Users."""

import uuid
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from coderproj.identity.roles import SiteRole


class UserStatus(models.TextChoices):
    ACTIVE = "active"
    SUSPENDED = "suspended"


class UserLogin(models.TextChoices):
    """How a user signs in. ``none`` cannot: such accounts use tokens that an owner creates."""

    PASSWORD = "password"  # noqa: S105 - a login type, not a password
    NONE = "none"


class UserQuerySet(models.QuerySet["User"]):
    def existing(self) -> "UserQuerySet":
        """Return users that are not deleted."""
        return self.filter(deleted=False)

    def after(self, cursor: "User") -> "UserQuerySet":
        """Return the users that follow the given one in the order of creation."""
        return self.filter(Q(created_at__gt=cursor.created_at) | Q(created_at=cursor.created_at, id__gt=cursor.pk))


class UserManager(BaseUserManager["User"]):
    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def existing(self) -> UserQuerySet:
        """Return users that are not deleted."""
        return self.get_queryset().existing()

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the existing user with this email address, ignoring case (called by Django's authentication)."""
        return self.existing().get(email__iexact=username)


class User(AbstractBaseUser):
    """A user account. Deleting keeps the row, so that the objects of the user keep their author."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(max_length=32)
    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=128, blank=True, default="")
    avatar_url = models.CharField(max_length=1024, blank=True, default="")
    status = models.CharField(max_length=16, choices=UserStatus.choices, default=UserStatus.ACTIVE)
    site_roles = ArrayField(
        models.CharField(max_length=32, choices=SiteRole.choices),
        default=list,
        blank=True,
        db_column="rbac_roles",
    )
    login_type = models.CharField(max_length=16, choices=UserLogin.choices, default=UserLogin.PASSWORD)
    # An account for a program. It cannot sign in.
    is_service_account = models.BooleanField(default=False)
    deleted = models.BooleanField(default=False)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["username"]

    class Meta:
        ordering = ["username", "id"]
        constraints = [
            models.UniqueConstraint(
                Lower("username"), condition=Q(deleted=False), name="identity_user_username_unique"
            ),
            models.UniqueConstraint(Lower("email"), condition=Q(deleted=False), name="identity_user_email_unique"),
        ]

    def __str__(self) -> str:
        return self.username

    # ---------------------------------------------------------------- Django admin
    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return self.status == UserStatus.ACTIVE and not self.deleted

    @property
    def is_staff(self) -> bool:
        """True for roles that may use the admin: owners with all permissions, auditors read-only."""
        return bool({SiteRole.OWNER, SiteRole.AUDITOR} & set(self.site_roles))

    @property
    def is_superuser(self) -> bool:
        return SiteRole.OWNER in self.site_roles

    def has_perm(self, perm: str, obj: object | None = None) -> bool:
        """Django permissions apply only to the admin: an owner has all of them, an auditor only ``view``."""
        if not self.is_active:
            return False
        return self.is_superuser or (self.is_staff and perm.partition(".")[2].startswith("view_"))

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active and self.is_staff

    def get_full_name(self) -> str:
        return self.name or self.username

    def get_short_name(self) -> str:
        return self.username

    def check_password(self, raw_password: str | None) -> bool:
        """Return True if the password is right. A hash with outdated parameters is replaced, unless another transaction
        has changed the password meanwhile (Django's method would restore the old one)."""

        def upgrade(raw: str) -> None:
            rows = User.objects.filter(pk=self.pk)
            renewed = make_password(raw)
            if not rows.filter(password=self.password).update(password=renewed):
                renewed = rows.values_list("password", flat=True).first() or ""
            if check_password(raw, renewed):
                self.password = renewed

        return raw_password is not None and check_password(raw_password, self.password, upgrade)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = UserManager.normalize_email(self.email)
        super().save(*args, **kwargs)
