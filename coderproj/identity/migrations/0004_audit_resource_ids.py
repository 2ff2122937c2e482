"""Set ``resource_id`` of rows about keys and memberships to the user's id, because clients decode it as a UUID."""

from django.db import migrations

TO_UUIDS = """
UPDATE identity_auditlog row SET resource_id = coalesce(
    row.diff #>> '{user_id,new}',
    row.diff #>> '{user_id,old}',
    (SELECT key.user_id::text FROM identity_apikey key
      WHERE row.resource_type = 'api_key' AND key.id = row.resource_id),
    (SELECT member.user_id::text FROM identity_membership member
      WHERE row.resource_type = 'organization_member' AND member.id::text = row.resource_id),
    row.user_id::text,
    '00000000-0000-0000-0000-000000000000'
) WHERE row.resource_id !~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$'
"""


class Migration(migrations.Migration):
    dependencies = [("identity", "0003_git_ssh_keys")]

    operations = [migrations.RunSQL(TO_UUIDS, migrations.RunSQL.noop)]
