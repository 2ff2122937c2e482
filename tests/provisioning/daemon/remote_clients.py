"""Shared code of the tests of daemons without database access."""

from pathlib import Path

from coderproj.identity.actor import Actor
from provisioning import keys
from provisioning.engine.base import LogLevel, LogLine, LogSource
from provisioning.models import ProvisionerKey
from provisioning.protocol.client import DaemonFacts
from tests.factories import make_user

ROOT = Path(__file__).resolve().parents[3]
FACTS = DaemonFacts(
    name="tester",
    tags={},
    provisioners=("echo",),
    concurrency=1,
    version="1",
    hostname="h",
    engine="",
    sandbox="",
)
# One worker slot: every slot costs a spare runner.
QUICK = {"PROVISIONER_CANCEL_GRACE_SECONDS": 1, "PROVISIONER_CONCURRENCY": 1}
LINE = LogLine(LogSource.ENGINE, LogLevel.INFO, "s", "x", 0)


def fields(facts):
    return {name: getattr(facts, name) for name in facts.__slots__}


def revoke_all():
    owner = Actor.of(make_user(site_roles=("owner",)))
    for key in ProvisionerKey.objects.filter(revoked_at=None):
        keys.revoke_key(owner, key)
