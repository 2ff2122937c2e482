"""Details for the pages of one template: different files, parameters of every kind, an access list, events."""

from coderproj.identity.actor import Actor
from coderproj.identity.models import Group, GroupMembership, Organization, User
from provisioning.models import ParameterSchema, ProvisionerJob, WorkspaceResource, WorkspaceResourceMetadata
from templates_app.models import AccessRole, RichParameter, Template, TemplateVersion
from templates_app.services import access, templates
from tests.factories import make_file
from tests.vocabulary import tar_of

BEFORE = """terraform {
  required_providers {
    coder = { source = "coder/coder" }
  }
}

resource "coder_agent" "main" {
  arch           = "amd64"
  os             = "linux"
  startup_script = <<EOT
    #!/bin/bash
    # install and start code-server
    curl -fsSL https://code-server.dev/install.sh | sh -s -- --version 4.8.3 | tee code-server-install.log
    code-server --auth none --port 13337 | tee code-server-install.log &
  EOT
}
"""
AFTER = BEFORE.replace("4.8.3", "4.9.1").replace('os             = "linux"', 'os             = "linux" # pinned')
ASKING = """variable "docker_socket" {
  description = "Where the daemon listens."
  default     = "unix:///var/run/docker.sock"
}

variable "registry_token" {
  sensitive = true
}

data "coder_parameter" "cpu" {
  name    = "cpu"
  type    = "number"
  default = "4"
}
"""
REGIONS = [
    {
        "name": "Europe (Ireland)",
        "value": "eu-west-1",
        "description": "Closest to *most* of us",
        "icon": "/icon/aws.png",
    },
    {"name": "US (Virginia)", "value": "us-east-1", "description": "For `gpu` nodes", "icon": "/icon/aws.png"},
]
SIZES = [{"name": "10 GB", "value": "10"}, {"name": "32 GB", "value": "32"}]


def add_details(template: Template, owner: User, member: User, older: TemplateVersion, active: TemplateVersion) -> None:
    """Add the details to a template with two imported versions."""
    _files(owner, older, active)
    _parameters(older, active)
    _resources(active)
    _access(template, owner, member)


def _files(owner: User, older: TemplateVersion, active: TemplateVersion) -> None:
    image = {"build/Dockerfile": "FROM ubuntu:22.04\n"}
    store_files(owner, older, {"main.tf": BEFORE, **image})
    store_files(owner, active, {"main.tf": AFTER, **image, "README.md": "# Docker containers\n"})


def store_files(owner: User, version: TemplateVersion, files: dict[str, str]) -> None:
    """Make these the source files of the version."""
    file = make_file(owner, tar_of(files))
    ProvisionerJob.objects.filter(pk=version.job_id).update(file=file)
    version.job.file = file


def _parameters(older: TemplateVersion, active: TemplateVersion) -> None:
    RichParameter.objects.filter(template_version__in=(older, active)).delete()
    for version, most in ((older, 8), (active, 16)):
        rows = [
            RichParameter(
                name="region",
                type="string",
                description="Where the workspace runs. Pick the one **closest to you**.",
                default_value="eu-west-1",
                options=REGIONS,
            ),
            RichParameter(
                name="cpu",
                type="number",
                description="Cores reserved for the container.",
                mutable=True,
                default_value="4",
                validation_min=1,
                validation_max=most,
            ),
            RichParameter(
                name="home_disk_size",
                type="number",
                description="The home volume.",
                mutable=True,
                default_value="32",
                options=SIZES,
                validation_monotonic="increasing",
            ),
            RichParameter(
                name="image",
                type="string",
                description="OCI reference pulled on start, such as `codercom/enterprise-base:ubuntu`.",
                mutable=True,
                default_value="codercom/enterprise-base:ubuntu",
                icon="/icon/docker.png",
                validation_regex="^[a-z0-9./-]+(:[a-z0-9.-]+)?$",
                validation_error="Not an image reference.",
            ),
            RichParameter(name="dotfiles", type="bool", mutable=True, default_value="true"),
            RichParameter(name="packages", type="list(string)", mutable=True, default_value='["git", "curl"]'),
        ]
        if version == active:
            rows.append(RichParameter(name="project", type="string", description="What the workspace is for."))
        for index, row in enumerate(rows):
            row.template_version, row.index = version, index
        RichParameter.objects.bulk_create(rows)
    ParameterSchema.objects.bulk_create(
        ParameterSchema(
            job=active.job,
            index=index,
            name=name,
            description=description,
            default_source_scheme="data" if default is not None else "none",
            default_source_value=default or "",
            default_destination_scheme="provisioner_variable",
            redisplay_value=not secret,
            validation_value_type=kind,
            validation_contains=choices,
        )
        for index, (name, description, default, secret, kind, choices) in enumerate(
            (
                ("docker_socket", "Where the daemon listens.", "unix:///var/run/docker.sock", False, "string", None),
                ("registry_token", "For the private registry.", "hunter2-token", True, "string", None),
                ("arch", "Architecture of the nodes.", "amd64", False, "string", ["amd64", "arm64"]),
            )
        )
    )


def _resources(version: TemplateVersion) -> None:
    container = WorkspaceResource.objects.get(job=version.job, type="docker_container", workspace_transition="start")
    WorkspaceResourceMetadata.objects.bulk_create(
        [
            WorkspaceResourceMetadata(resource=container, key="cpu", value="4 cores"),
            WorkspaceResourceMetadata(resource=container, key="token", sensitive=True),
        ]
    )
    WorkspaceResource.objects.filter(job=version.job, workspace_transition="stop").exclude(
        type="docker_volume"
    ).delete()


def _access(template: Template, owner: User, member: User) -> None:
    organization: Organization = template.organization
    group = Group.objects.create(organization=organization, name="contractors")
    GroupMembership.objects.create(group=group, user=member)
    actor = Actor.of(owner)
    access.update_access_list(
        actor,
        template,
        user_roles={str(member.pk): AccessRole.USE},
        group_roles={str(group.pk): AccessRole.USE},
    )
    description = template.description
    templates.update(actor, template, {"description": "Containers"})
    templates.update(actor, template, {"description": description})
