from typing import Any

from django.db import migrations

from coderproj.worker import schema

LAST = "03.04.00_50_post_add_retry_failed_job_procedure.sql"


def create(apps: Any, editor: Any) -> None:
    schema.apply(editor, last=LAST)


class Migration(migrations.Migration):
    initial = True
    atomic = False
    dependencies: list[tuple[str, str]] = []
    operations = [migrations.RunPython(create, atomic=False)]
