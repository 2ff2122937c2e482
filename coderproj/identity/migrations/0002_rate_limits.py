"""The shared counters of rate limits: a table without a write-ahead log, as what it holds is worth a minute."""

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
