"""A deployment for a whole module: a live server, a daemon, an organization and an owner."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.cleanup import delete_all_rows
from tests.live import LiveApi
from tests.vocabulary import run_daemon
from tests.world import fast_settings


@dataclass
class Deployment:
    """A running system: the server's URL without a trailing slash, and the owner's token."""

    live: LiveApi
    token: str
    username: str
    organization_id: str

    @property
    def url(self) -> str:
        return self.live.url


@pytest.fixture(scope="module")
def deployment(django_db_setup, django_db_blocker, _running_server: LiveApi, tmp_path_factory) -> Iterator[Deployment]:
    """Yield a deployment whose rows stay until the last test of the module. The tests are marked ``django_db``."""
    log = tmp_path_factory.mktemp("daemon") / "log"
    with django_db_blocker.unblock(), fast_settings():
        from coderproj.identity import tokens
        from coderproj.identity.models import LoginType
        from tests.factories import make_organization, make_user

        organization = make_organization("acme", is_default=True)
        owner = make_user(
            "ada", organizations=(organization,), site_roles=("owner",), avatar_url="https://pictures.test/ada.png"
        )
        _, token = tokens.issue(user=owner, login_type=LoginType.TOKEN)
        try:
            with run_daemon(log, "--name", "shared", PROVISIONER_CANCEL_GRACE_SECONDS=1):
                yield Deployment(_running_server, token, owner.username, str(organization.pk))
                _running_server.wait_for_streams(0)
        finally:
            delete_all_rows()
