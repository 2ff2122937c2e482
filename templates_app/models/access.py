"""Access lists of templates."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from coderproj.identity.models import Group


class AccessRole(models.TextChoices):
    USE = "use"
    ADMIN = "admin"


class TemplateAccess(models.Model):
    """An entry of a template's access list: a user or a group, and its role on the template."""

    template = models.ForeignKey("templates_app.Template", on_delete=models.CASCADE, related_name="access")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="template_access",
    )
    group = models.ForeignKey(Group, on_delete=models.CASCADE, null=True, blank=True, related_name="template_access")
    role = models.CharField(max_length=8, choices=AccessRole.choices)

    class Meta:
        ordering = ["template", "user", "group"]
        verbose_name_plural = "template access"
        constraints = [
            models.UniqueConstraint(fields=["template", "user"], name="templates_access_user_unique"),
            models.UniqueConstraint(fields=["template", "group"], name="templates_access_group_unique"),
            models.CheckConstraint(
                condition=Q(user=None, group__isnull=False) | Q(user__isnull=False, group=None),
                name="templates_access_one_subject",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} for {self.user or self.group}"
