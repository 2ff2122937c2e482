"""Create the shared counters of rate limits as an unlogged table: losing them affects one minute of limits."""

from django.db import migrations

CREATE = """
CREATE UNLOGGED TABLE identity_rate (
    key bytea NOT NULL,
    minute bigint NOT NULL,
    hits integer NOT NULL,
    PRIMARY KEY (key, minute)
) WITH (fillfactor = 70)
"""


class Migration(migrations.Migration):
    dependencies = [("identity", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, "DROP TABLE identity_rate")]
