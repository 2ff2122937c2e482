"""The deployment that the session was recorded with: its users, organizations and templates."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cleanup import delete_all_rows
from tests.contract.clients import GoClient
from tests.live import LiveApi
from tests.today.replay import LAST_RUN, NIL, PASSWORD, Call, Outcome, Replay, recorded
from tests.vocabulary import echo, run_daemon, tar_of
from tests.world import fast_settings

PLAN = {"start": {"resources": [{"name": "box", "type": "terraform_data"}]}}
ARCHIVE = tar_of(echo(PLAN, {"variables": [{"name": "region", "default_source_value": "eu"}]}))
ASKING = tar_of(echo(PLAN, {"variables": [{"name": "must"}]}))
# Objects of the recording by their ids there.
ADMIN = "10f0f185-2193-4285-9d85-41394c521d93"
ALICE = "65af37ae-29b3-4cd2-9d21-0afd0e2cf7e6"
DEFAULT = "9eef8df1-2f64-410a-a75a-403b48f473b7"
TEAM = "b94d06bc-1d48-402a-aaf5-279174d9c693"
TERRAFORM_TEAM = "65f835c2-c5c1-4e67-8ad4-119c3b6e198f"
HELLO = "a62928d7-4417-4acf-b040-cc452bfa708a"
HELLO_VERSION = "233be3db-3670-4e55-8ed9-37ab4fd08d09"
HELLO_FILE = "519a69fb-d51a-4d47-b4eb-48f7e558e936"
# What the provider made in calls that the recording leaves out, because they are like earlier ones.
SECOND_GROUP = "04bf1aaf-7531-4237-9a49-b1f688b8264c"
SECOND_TEMPLATE = "c2f36021-c183-4651-a1ba-3dc58a6da644"
STABLE = "1252e790-8471-4336-bfa6-652102019c75"
STAGING = "ac0453b5-7593-426c-9c16-6dc85a1e6502"
# Before this call, an update that the recording leaves out gave a user access to the template.
GIVEN_ACCESS = 299


@dataclass
class Installation:
    """Prepares what the recorded calls expect."""

    client: GoClient
    replay: Replay

    def post(self, path: str, status: int, body: Any) -> Any:
        response = self.client.send("POST", path, json=body)
        assert response.status_code == status, response.text
        return response.json()

    def version(self, name: str, template: str = NIL) -> str:
        """Return the id of an imported version."""
        body = {
            "name": name,
            "template_id": template,
            "storage_method": "file",
            "file_id": self.replay.ids[HELLO_FILE],
            "provisioner": "echo",
        }
        version = self.post("/organizations/default/templateversions", 201, body)
        with self.client.follow(f"/templateversions/{version['id']}/logs") as socket:
            list(socket)
        return str(version["id"])

    def template(self, name: str, version: str) -> str:
        body = {"name": name, "template_version_id": version}
        return str(self.post("/organizations/default/templates", 201, body)["id"])

    def begin(self) -> None:
        """Make what was there before the first recorded call."""
        ids = self.replay.ids
        ids[ADMIN] = self.client.send("GET", "/users/me").json()["id"]
        ids[DEFAULT] = self.client.send("GET", "/organizations/default").json()["id"]
        alice = {"email": "a@example.com", "username": "alice", "password": PASSWORD, "organization_id": ids[DEFAULT]}
        ids[ALICE] = self.post("/users", 201, alice)["id"]
        roles = {"roles": ["auditor", "template-admin"]}
        assert self.client.send("PUT", "/users/alice/roles", json=roles).status_code == 200
        ids[TEAM] = self.post("/organizations", 201, {"name": "team2"})["id"]
        ids[TERRAFORM_TEAM] = self.post("/organizations", 201, {"name": "tforg", "display_name": "TF Org"})["id"]
        # The recorded uploads repeat earlier ones.
        for archive in (ASKING, ARCHIVE):
            upload = self.client.send("POST", "/files", content=archive, headers={"Content-Type": "application/x-tar"})
        ids[HELLO_FILE] = upload.json()["hash"]
        ids[HELLO] = self.template("hello", self.version("v1"))
        ids[HELLO_VERSION] = self.version("v2", ids[HELLO])
        promotion = {"id": ids[HELLO_VERSION]}
        assert self.client.send("PATCH", f"/templates/{ids[HELLO]}/versions", json=promotion).status_code == 200
        self.post("/users/me/keys/tokens", 201, {"token_name": "earlier"})

    def before(self, call: Call) -> None:
        """Make what the recording leaves out before this call."""
        ids = self.replay.ids
        if call.number == GIVEN_ACCESS:
            path, access = self.replay.fill(call.path), {"user_perms": {ids[ADMIN]: "admin"}}
            assert self.client.send("PATCH", path, json=access).status_code == 200
        if call.path == f"/groups/{SECOND_GROUP}" and SECOND_GROUP not in ids:
            ids[SECOND_GROUP] = self.post("/organizations/default/groups", 201, {"name": "tfacl"})["id"]
            ids[STABLE] = self.version("stable")
            ids[SECOND_TEMPLATE] = self.template("tfacl", ids[STABLE])
            access = {"user_perms": {ids[ALICE]: "admin"}, "group_perms": {ids[SECOND_GROUP]: "use"}}
            path = f"/templates/{ids[SECOND_TEMPLATE]}/acl"
            assert self.client.send("PATCH", path, json=access).status_code == 200
            rules = {"autostop_requirement": {"days_of_week": ["sunday"], "weeks": 2}}
            path = f"/templates/{ids[SECOND_TEMPLATE]}"
            assert self.client.send("PATCH", path, json=rules).status_code == 200
            ids[STAGING] = self.version("staging", ids[SECOND_TEMPLATE])


@pytest.fixture(scope="module")
def outcomes(django_db_setup, django_db_blocker, _running_server: LiveApi, tmp_path_factory) -> Iterator[list[Outcome]]:
    """Replay the session once, and yield the outcomes of its calls."""
    log = tmp_path_factory.mktemp("daemon") / "log"
    with django_db_blocker.unblock(), fast_settings():
        from coderproj.identity import tokens
        from coderproj.identity.models import LoginType
        from tests.factories import make_organization, make_user

        organization = make_organization("admin", is_default=True)
        roles = {"site_roles": ("owner",), "organization_roles": ("organization-admin",)}
        owner = make_user("admin", organizations=(organization,), **roles)
        _, token = tokens.issue(user=owner, login_type=LoginType.TOKEN)
        client = GoClient(_running_server.url, token)
        try:
            with run_daemon(log, "--name", "shared", PROVISIONER_CANCEL_GRACE_SECONDS=1):
                LAST_RUN[:] = replayed(Installation(client, Replay(client, ARCHIVE, ASKING)))
                _running_server.wait_for_streams(0)
            yield LAST_RUN
        finally:
            client.close()
            delete_all_rows()


def replayed(installation: Installation) -> list[Outcome]:
    installation.begin()
    found = []
    for call in recorded():
        installation.before(call)
        found.append(installation.replay.make(call))
    return found
