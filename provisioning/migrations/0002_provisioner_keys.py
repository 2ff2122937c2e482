import uuid

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0002_rate_limits"),
        ("provisioning", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="provisionerjob",
            name="ended_as",
            field=models.CharField(
                blank=True,
                choices=[("complete", "Complete"), ("fail", "Fail"), ("cancel", "Cancel"), ("release", "Release")],
                default="",
                editable=False,
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="provisionerjob",
            name="ended_lease",
            field=models.UUIDField(blank=True, editable=False, null=True),
        ),
        migrations.CreateModel(
            name="ProvisionerKey",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=64)),
                ("hashed_secret", models.BinaryField()),
                ("tags", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("last_used", models.DateTimeField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="provisioner_keys",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="provisioner_keys",
                        to="identity.organization",
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.AddField(
            model_name="provisionerdaemon",
            name="key",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="daemons",
                to="provisioning.provisionerkey",
            ),
        ),
        migrations.AddConstraint(
            model_name="provisionerkey",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("name"),
                models.F("organization"),
                condition=models.Q(("organization__isnull", False), ("revoked_at", None)),
                name="provisioning_key_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="provisionerkey",
            constraint=models.UniqueConstraint(
                django.db.models.functions.text.Lower("name"),
                condition=models.Q(("organization", None), ("revoked_at", None)),
                name="provisioning_key_global_name",
            ),
        ),
    ]
