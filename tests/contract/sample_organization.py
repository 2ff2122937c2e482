"""An organization with an object of each kind, and in-process calls of documented endpoints for it."""

import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.http import HttpResponse

from coderproj.identity.models import Group, Organization, User
from provisioning.models import ProvisionerJob
from templates_app.models import Template, TemplateVersion
from templates_app.services import versions
from tests.contract.described import DescribedApiClient as ApiClient
from tests.contract.document import Endpoint
from tests.factories import make_organization, make_template, make_user, make_version


@dataclass
class SampleOrganization:
    """An organization and its administrator ``admin``.

    ``version`` is the second version of the template, ``loose`` is a version without a template, and ``job`` is a
    pending dry run of ``version``.
    """

    organization: Organization
    admin: User
    template: Template
    version: TemplateVersion
    loose: TemplateVersion
    job: ProvisionerJob
    group: Group

    def path_values(self) -> dict[str, str]:
        """Return the parameters of documented paths that name the objects of this organization."""
        return {
            "organization": str(self.organization.pk),
            "template": str(self.template.pk),
            "templatename": self.template.name,
            "templateversion": str(self.version.pk),
            "templateversionname": self.version.name,
            "jobID": str(self.job.pk),
        }

    def body(self, endpoint: Endpoint) -> dict[str, Any] | None:
        """Return a valid body, or None for endpoints without one."""
        return {
            "POST /organizations/{organization}/groups": {"name": "new", "avatar_url": "", "quota_allowance": 0},
            "POST /organizations/{organization}/templates": {
                "name": "new",
                "display_name": "New",
                "description": "words",
                "icon": "/icon.svg",
                "template_version_id": str(self.loose.pk),
                "default_ttl_ms": 1000,
                "allow_user_cancel_workspace_jobs": True,
                "parameter_values": [],
            },
            "POST /organizations/{organization}/templateversions": {
                "name": "new",
                "message": "words",
                "template_id": str(self.template.pk),
                "storage_method": "file",
                "file_id": str(self.version.job.file_id),
                "example_id": "",
                "provisioner": "echo",
                "tags": {"a": "b"},
                "parameter_values": [],
                "rich_parameter_values": [],
                "workspace_name": "try",
            },
            "PATCH /templates/{template}": {
                "name": "other",
                "display_name": "Other",
                "description": "other words",
                "icon": "/other.svg",
                "default_ttl_ms": 2000,
                "allow_user_cancel_workspace_jobs": False,
            },
            "PATCH /templates/{template}/versions": {"id": str(self.version.pk)},
            "POST /templateversions/{templateversion}/dry-run": {
                "workspace_name": "try",
                "parameter_values": [],
                "rich_parameter_values": [],
            },
        }.get(str(endpoint))


def make_sample_organization(name: str) -> SampleOrganization:
    """Create the organization and its objects."""
    organization = make_organization(name)
    admin = make_user(f"{name}-admin", organizations=(organization,), organization_roles=("organization-admin",))
    template = make_template(user=admin, organization=organization, name=f"{name}-template", everyone=False)
    version = make_version(user=admin, organization=organization, template=template, name=f"{name}-second")
    loose = make_version(user=admin, organization=organization, name=f"{name}-loose")
    job = versions.start_dry_run(actor_of(admin), version, versions.DryRunInput(workspace_name="first"))
    # No daemon has these tags and ``factories.finish`` skips them, so the job stays pending.
    ProvisionerJob.objects.filter(pk=job.pk).update(tags={"held": "back"})
    group = Group.objects.create(organization=organization, name=f"{name}-group")
    return SampleOrganization(organization, admin, template, version, loose, job, group)


def actor_of(user: User) -> Any:
    from coderproj.identity import tokens
    from coderproj.identity.actor import Client
    from coderproj.identity.authentication import actor_for_token

    _, token = tokens.issue(user=user)
    return actor_for_token(token, Client(ip=None, user_agent="", request_id=None))


def missing_path_values() -> dict[str, str]:
    """Return path parameters that name no existing object."""
    ids = {name: str(uuid.uuid4()) for name in ("organization", "template", "templateversion", "jobID")}
    return {**ids, "templatename": "no-such-name", "templateversionname": "no-such-name"}


def request(
    api: ApiClient, endpoint: Endpoint, values: dict[str, str], body: Any = None, *, method: str = "", **options: Any
) -> HttpResponse:
    """Call an endpoint and return its response. Values are quoted into the path without any other change."""
    path = endpoint.url(**{name: quote(value, safe="") for name, value in values.items()}).lstrip("/")
    query = options.pop("query", "")
    return api.call(method or endpoint.method, f"{path}?{query}" if query else path, body, **options)
