"""All documented calls, in an order in which every documented field gets a value.

The calls read succeeded, failed and canceled jobs, agents with apps, and parameters of every kind.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from django.db import connection

from tests.contract.clients import TOKEN_HEADER, Wire
from tests.contract.document import endpoint
from tests.vocabulary import echo, tar_of

APP = {
    "slug": "code",
    "display_name": "Code",
    "command": "code",
    "url": "http://localhost:1",
    "icon": "/icon/code.svg",
    "subdomain": True,
    "external": False,
    "sharing_level": "owner",
    "healthcheck": {"url": "http://localhost:1/healthz", "interval": 5, "threshold": 6},
}
AGENT = {
    "name": "main",
    "operating_system": "linux",
    "architecture": "amd64",
    "directory": "/home",
    "environment": {"EDITOR": "vi"},
    "startup_script": "true",
    "instance_id": "i-1",
    "connection_timeout_seconds": 120,
    "startup_script_timeout_seconds": 300,
    "troubleshooting_url": "https://help.test/",
    "apps": [APP],
}
RESOURCE = {
    "name": "dev",
    "type": "vm",
    "icon": "/icon/vm.svg",
    "daily_cost": 7,
    "metadata": [{"key": "size", "value": "small"}, {"key": "secret", "sensitive": True}],
    "agents": [AGENT],
}
PLAN = {
    "logs": [[level, "Detecting persistent resources", level] for level in ("trace", "debug", "info", "warn", "error")],
    "start": {
        "resources": [RESOURCE, {"name": "disk", "type": "volume", "hide": True}],
        "rich_parameters": [
            {"name": "size", "default_value": "2", "type": "number", "validation_min": 1, "validation_max": 8},
            {"name": "color", "options": [{"name": "Red", "value": "red", "description": "r", "icon": "/r.svg"}]},
        ],
    },
    "stop": {"resources": [{"name": "disk", "type": "volume"}]},
}
VARIABLES = [
    {
        "name": "region",
        "description": "where",
        "default_source_value": "eu",
        "validation_error": "pick one",
        "validation_condition": 'contains(["eu", "us"], var.region)',
        "validation_value_type": "string",
    },
    {"name": "echo.exec", "default_source_value": ""},
    {"name": "password", "default_source_value": "x", "sensitive": True},
]
GOOD: Mapping[str, Any] = {"README.md": "# Hello", **echo(PLAN, {"variables": VARIABLES})}
FAILING = echo({"error": "scripted failure"})
SLEEPING = echo({"sleep": 20})


@dataclass(slots=True)
class RecordedResponse:
    """One response of a documented endpoint. ``body`` is the decoded JSON."""

    status: int
    raw: bytes
    body: Any
    headers: httpx.Headers


@dataclass
class Recorder:
    """Calls documented endpoints and stores every response by the endpoint's name.

    ``accept`` is the Accept header; None sends none.
    """

    url: str
    token: str
    accept: str | None
    responses: dict[str, list[RecordedResponse]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        headers = {"User-Agent": "Go-http-client/1.1", TOKEN_HEADER: self.token}
        self.wire = Wire(self.url, headers if self.accept is None else headers | {"Accept": self.accept})

    def call(self, name: str, body: Any = None, *, query: str = "", **values: str) -> Any:
        """Call the endpoint ``METHOD /path`` with these path parameters and return the body of its response."""
        found = endpoint(name)
        path = f"/api/v2{found.url(**values)}" + (f"?{query}" if query else "")
        response = self.wire.send(found.method, path, json=body)
        recorded = RecordedResponse(response.status_code, response.content, response.json(), response.headers)
        self.responses.setdefault(name, []).append(recorded)
        assert response.is_success, f"{name}: {response.status_code} {response.text[:500]}"
        return recorded.body

    def upload(self, source: Mapping[str, Any]) -> str:
        """Upload an archive and return its id."""
        response = self.wire.send(
            "POST", "/api/v2/files", content=tar_of(source), headers={"Content-Type": "application/x-tar"}
        )
        assert response.status_code in {200, 201}
        return response.json()["hash"]


@dataclass
class Scenario:
    """The calls of one run. ``names`` is a part of all names, so that two runs do not collide."""

    api: Recorder
    organization: str
    names: str

    def run(self) -> None:
        """Make every documented call."""
        group = {"name": f"group-{self.names}", "avatar_url": "/g.png", "quota_allowance": 3}
        self.api.call("POST /organizations/{organization}/groups", group, organization=self.organization)
        self.api.call("GET /organizations/{organization}/templates/examples", organization=self.organization)
        first = self.new_version(GOOD, message="the first")
        self.wait(first)
        self.read_results(first)
        self.dry_run(first)
        self.import_without_source()
        template = self.create_template(first)
        self.read_template(template)
        canceled = self.new_version(SLEEPING, template_id=template, name=f"canceled-{self.names}")
        self.wait(canceled, "running")
        self.api.call("PATCH /templateversions/{templateversion}/cancel", templateversion=canceled)
        self.wait(canceled)
        failed = self.new_version(FAILING, template_id=template, name=f"failed-{self.names}")
        self.wait(failed)
        self.read_versions(template)
        self.api.call("PATCH /templates/{template}/versions", {"id": first}, template=template)
        self.change_template(template)
        self.api.call("DELETE /templates/{template}", template=template)

    # ------------------------------------------------------------------ versions
    def new_version(self, source: Mapping[str, Any], **body: Any) -> str:
        given = {
            "storage_method": "file",
            "file_id": self.api.upload(source),
            "provisioner": "echo",
            "tags": {},
            "parameter_values": [],
            **body,
        }
        create = "POST /organizations/{organization}/templateversions"
        return self.api.call(create, given, organization=self.organization)["id"]

    def import_without_source(self) -> None:
        """Send the documented example body. It names no source, so the import has nothing to run."""
        body = {
            "parameter_values": [
                {
                    "copy_from_parameter": "000e07d6-021d-446c-be14-48a9c20bca0b",
                    "destination_scheme": "none",
                    "name": "string",
                    "source_scheme": "none",
                    "source_value": "string",
                }
            ],
            "rich_parameter_values": [{"name": "string", "value": "string"}],
            "workspace_name": "string",
        }
        create = "POST /organizations/{organization}/templateversions"
        version = self.api.call(create, body, organization=self.organization)
        self.wait(version["id"])

    def wait(self, version: str, status: str = "") -> None:
        """Wait until the import has this status; without a status, until it has ended."""
        self._wait("GET /templateversions/{templateversion}", lambda body: body["job"], status, version)

    def _wait(self, name: str, job_of: Any, status: str, version: str, **values: str) -> None:
        deadline = time.monotonic() + 20
        while True:
            job = job_of(self.api.call(name, templateversion=version, **values))
            if job["status"] == status or (not status and job.get("completed_at")):
                return
            assert not job.get("completed_at"), job
            assert time.monotonic() < deadline, job
            time.sleep(0.1)

    def read_results(self, version: str) -> None:
        connect_agents()
        for what in ("schema", "parameters", "resources", "rich-parameters", "logs"):
            self.api.call(f"GET /templateversions/{{templateversion}}/{what}", templateversion=version)
        for query in ("after=1&before=4", "follow", "follow=true&after=2"):
            self.api.call("GET /templateversions/{templateversion}/logs", templateversion=version, query=query)

    def dry_run(self, version: str) -> None:
        """Start three dry runs: one succeeds, one fails, one is canceled while it runs."""
        path = "/templateversions/{templateversion}/dry-run"
        body = {
            "workspace_name": "try",
            "parameter_values": [{"name": "region", "source_value": "us", "source_scheme": "data"}],
            "rich_parameter_values": [{"name": "size", "value": "3"}],
        }
        job = self.api.call(f"POST {path}", body, templateversion=version)["id"]
        self.wait_for_dry_run(version, job)
        connect_agents()
        for what in ("logs", "resources"):
            self.api.call(f"GET {path}/{{jobID}}/{what}", templateversion=version, jobID=job)
        failing = {"parameter_values": [{"name": "echo.exec", "source_value": "error=scripted failure"}]}
        job = self.api.call(f"POST {path}", failing, templateversion=version)["id"]
        self.wait_for_dry_run(version, job)
        sleeping = self.new_version(SLEEPING | echo({"sleep": 1.0}))
        self.wait(sleeping)
        job = self.api.call(f"POST {path}", {}, templateversion=sleeping)["id"]
        self.wait_for_dry_run(sleeping, job, "running")
        self.api.call(f"PATCH {path}/{{jobID}}/cancel", templateversion=sleeping, jobID=job)
        self.wait_for_dry_run(sleeping, job)

    def wait_for_dry_run(self, version: str, job: str, status: str = "") -> None:
        name = "GET /templateversions/{templateversion}/dry-run/{jobID}"
        self._wait(name, lambda body: body, status, version, jobID=job)

    # ------------------------------------------------------------------ templates
    def create_template(self, version: str) -> str:
        set_provisioner_to_terraform(version)
        body = {
            "name": f"template-{self.names}",
            "display_name": "A template",
            "description": "for all",
            "icon": "/icon/t.svg",
            "template_version_id": version,
            "default_ttl_ms": 86_400_000,
            "allow_user_cancel_workspace_jobs": True,
            "parameter_values": [{"name": "region", "source_value": "eu", "source_scheme": "data"}],
        }
        create = "POST /organizations/{organization}/templates"
        return self.api.call(create, body, organization=self.organization)["id"]

    def read_template(self, template: str) -> None:
        self.api.call("GET /organizations/{organization}/templates", organization=self.organization)
        by_name = "GET /organizations/{organization}/templates/{templatename}"
        self.api.call(by_name, organization=self.organization, templatename=f"template-{self.names}")
        self.api.call("GET /templates/{template}", template=template)
        self.api.call("GET /templates/{template}/daus", template=template)

    def read_versions(self, template: str) -> None:
        listed = self.api.call("GET /templates/{template}/versions", template=template)
        page = f"after_id={listed[0]['id']}&limit=2&offset=1"
        self.api.call("GET /templates/{template}/versions", template=template, query=page)
        named = "/organizations/{organization}/templateversions/{templateversionname}"
        for version in listed:
            name = version["name"]
            self.api.call(
                "GET /templates/{template}/versions/{templateversionname}", template=template, templateversionname=name
            )
            self.api.call(f"GET {named}", organization=self.organization, templateversionname=name)
        for version in listed[1:]:
            name = version["name"]
            self.api.call(f"GET {named}/previous", organization=self.organization, templateversionname=name)

    def change_template(self, template: str) -> None:
        change = "PATCH /templates/{template}"
        everything = {
            "name": f"renamed-{self.names}",
            "display_name": "Renamed",
            "description": "other words",
            "icon": "/icon/o.svg",
            "default_ttl_ms": 3_600_000,
            "allow_user_cancel_workspace_jobs": True,
        }
        self.api.call(change, template=template)
        self.api.call(change, everything, template=template)
        self.api.call(change, {"description": "one field"}, template=template)


def connect_agents() -> None:
    """Set connection times on agents, because agents of imports and dry runs never connect."""
    from datetime import UTC, datetime

    from provisioning.models import WorkspaceAgent

    now = datetime.now(UTC)
    WorkspaceAgent.objects.update(first_connected_at=now, last_connected_at=now, disconnected_at=now, version="v1")


def set_provisioner_to_terraform(version: str) -> None:
    """Store ``terraform`` as the job's provisioner: the document has no other, and the scripted engine ran the job."""
    from provisioning.models import ProvisionerJob

    ProvisionerJob.objects.filter(template_version__pk=version).update(provisioner="terraform")


def record_responses(
    url: str, token: str, organization: str, *, accept: str | None
) -> dict[str, list[RecordedResponse]]:
    """Make all documented calls with this Accept header, or without one. Return the responses by endpoint name."""
    api = Recorder(url, token, accept)
    try:
        Scenario(api, organization, "documented" if accept else "sdk").run()
    finally:
        api.wire.close()
        connection.close()  # this thread's connection
    return api.responses
