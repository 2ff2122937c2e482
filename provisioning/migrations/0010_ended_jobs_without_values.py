from django.db import migrations

# Jobs that ended before: what a user gave for variables and parameters may be secret, and nothing reads it any more.
REMOVE_SQL = """
UPDATE provisioning_provisionerjob
   SET input = input - ARRAY['parameter_values', 'rich_parameter_values']
 WHERE completed_at IS NOT NULL AND input ?| ARRAY['parameter_values', 'rich_parameter_values']
"""


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0009_file_pieces")]

    operations = [migrations.RunSQL(REMOVE_SQL, migrations.RunSQL.noop)]
