from django.db import migrations, models

# Agents of imports and dry runs have no token.
HASH_SQL = """
UPDATE provisioning_workspaceagent agent
   SET hashed_token = sha256(uuid_send(agent.auth_token))
  FROM provisioning_workspaceresource resource
  JOIN provisioning_provisionerjob job ON job.id = resource.job_id
 WHERE resource.id = agent.resource_id AND job.type = 'workspace_build'
"""


class Migration(migrations.Migration):
    dependencies = [("provisioning", "0013_expired_leases")]

    operations = [
        migrations.AddField(
            model_name="workspaceagent",
            name="hashed_token",
            field=models.BinaryField(blank=True, editable=False, null=True),
        ),
        migrations.RunSQL(HASH_SQL, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="workspaceagent", name="auth_token"),
        migrations.AddIndex(
            model_name="workspaceagent",
            index=models.Index(
                condition=models.Q(("hashed_token__isnull", False)),
                fields=["hashed_token"],
                name="provisioning_agent_token",
            ),
        ),
    ]
