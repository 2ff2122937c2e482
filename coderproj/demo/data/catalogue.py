"""The templates of the data: what each is, and the Terraform configuration of its versions."""

import io
import tarfile
from dataclasses import dataclass
from textwrap import dedent

IMAGES = ("debian:stable", "ubuntu:24.04", "fedora:42")
REGIONS = ("eu-central", "us-east", "ap-south")


@dataclass(frozen=True, slots=True)
class Option:
    """A rich parameter: its options with weights, or a range of numbers, or any text."""

    name: str
    description: str
    type: str = "string"
    default: str = ""
    icon: str = ""
    mutable: bool = True
    options: tuple[tuple[str, float], ...] = ()
    range: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """Templates on the same platform: the resource with the agent, the volume, a variable, and the seconds of a start
    and a stop. ``cost`` is the daily cost of the machine."""

    name: str
    machine: str
    volume: str
    variable: str
    start: float
    stop: float
    cost: int
    parameters: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Sort:
    """A template. ``weight`` is its share of workspaces, ``failing`` that of its starts that fail; ``team`` restricts
    it to a group."""

    name: str
    title: str
    description: str
    icon: str
    family: str
    weight: float
    failing: float
    ttl_hours: int
    team: str = ""


IMAGE = Option(
    "image",
    "The image that the container runs",
    default=IMAGES[0],
    icon="/icon/docker.svg",
    options=((IMAGES[0], 5), (IMAGES[1], 3), (IMAGES[2], 1)),
)
MEMORY = Option("memory", "Memory in MB", "number", "4096", "/icon/memory.svg", range=(1024, 32768))
CPUS = Option("cpus", "Number of processors", "number", "2", options=(("2", 6), ("4", 4), ("8", 1)))
REGION = Option(
    "region",
    "Where the machine runs",
    default=REGIONS[0],
    mutable=False,
    options=tuple(zip(REGIONS, (5, 3, 2), strict=True)),
)
SIZE = Option(
    "machine_type", "Size of the machine", default="small", options=(("small", 5), ("medium", 4), ("large", 1))
)
DOTFILES = Option("dotfiles", "Install my dotfiles", "bool", "false")

FAMILIES = {
    "docker": Family("docker", "docker_container", "docker_volume", "docker_host", 9, 3, 1, (IMAGE, MEMORY, DOTFILES)),
    "kubernetes": Family(
        "kubernetes",
        "kubernetes_pod",
        "kubernetes_persistent_volume_claim",
        "namespace",
        34,
        12,
        3,
        (IMAGE, CPUS, MEMORY),
    ),
    "cloud": Family("cloud", "aws_instance", "aws_ebs_volume", "project", 96, 41, 8, (REGION, SIZE, DOTFILES)),
}
SORTS = (
    Sort("docker-dev", "Docker", "A container with the common tools", "docker", "docker", 14, 0.02, 10),
    Sort("k8s-dev", "Kubernetes", "A pod in the development cluster", "k8s", "kubernetes", 11, 0.03, 10),
    Sort("backend-go", "Backend (Go)", "Go, its tools and a local database", "docker", "docker", 8, 0.02, 10),
    Sort(
        "backend-python", "Backend (Python)", "Python 3.12 with the services' packages", "docker", "docker", 9, 0.03, 9
    ),
    Sort("frontend-node", "Frontend", "Node, a browser and the design system", "docker", "docker", 9, 0.02, 9),
    Sort("java-monolith", "The monolith", "JDK 21 and the build cache; needs 8 GB", "k8s", "kubernetes", 6, 0.06, 10),
    Sort("rust", "Rust", "Rust with a shared compiler cache", "docker", "docker", 3, 0.02, 10),
    Sort("android", "Android", "The SDK with an emulator", "aws", "cloud", 3, 0.07, 8, "mobile"),
    Sort("ios-tools", "iOS tools", "Signing and release tools, no Xcode", "aws", "cloud", 1, 0.05, 8, "mobile"),
    Sort("ml-gpu", "Training (GPU)", "One GPU, CUDA and notebooks", "nvidia", "cloud", 4, 0.11, 12, "machine-learning"),
    Sort("ml-notebook", "Notebooks", "Notebooks without a GPU", "k8s", "kubernetes", 4, 0.04, 12, "machine-learning"),
    Sort("spark", "Spark", "A driver near the data", "aws", "cloud", 3, 0.06, 8, "data-platform"),
    Sort(
        "warehouse",
        "Warehouse",
        "SQL tools and the models of the warehouse",
        "k8s",
        "kubernetes",
        3,
        0.03,
        9,
        "data-platform",
    ),
    Sort(
        "terraform",
        "Infrastructure",
        "Terraform with the accounts' roles",
        "terraform",
        "docker",
        2,
        0.03,
        8,
        "infrastructure",
    ),
    Sort(
        "cluster-admin",
        "Cluster administration",
        "kubectl and the audit tools",
        "k8s",
        "kubernetes",
        1,
        0.02,
        4,
        "infrastructure",
    ),
    Sort("aws-linux", "Linux on AWS", "A virtual machine of your own", "aws", "cloud", 4, 0.05, 10),
    Sort("azure-linux", "Linux on Azure", "A virtual machine of your own", "azure", "cloud", 2, 0.06, 10),
    Sort("gcp-linux", "Linux on Google Cloud", "A virtual machine of your own", "gcp", "cloud", 2, 0.04, 10),
    Sort("hetzner", "Hetzner", "A small server, cheap", "hetzner", "cloud", 1, 0.03, 10, "research"),
    Sort("digitalocean", "Droplet", "A droplet for short experiments", "do", "cloud", 1, 0.04, 6, "research"),
    Sort("proxmox", "On our own metal", "A virtual machine in the office", "proxmox", "cloud", 1, 0.09, 0, "quality"),
    Sort("podman", "Podman", "Rootless containers", "podman", "docker", 1, 0.04, 9),
    Sort("payments", "Payments", "In the network of the payment services", "k8s", "kubernetes", 3, 0.04, 8, "payments"),
    Sort("search-index", "Search", "With a sample of the index", "k8s", "kubernetes", 2, 0.05, 8, "search"),
    Sort("security-lab", "Security lab", "Isolated, with the scanners", "docker", "docker", 1, 0.03, 4, "security"),
    Sort("load-test", "Load tests", "Generators in three regions", "aws", "cloud", 1, 0.08, 3, "quality"),
    Sort("docs", "Documentation", "Writers' tools and a preview", "docker", "docker", 2, 0.01, 8),
    Sort("onboarding", "First day", "Everything for the first week", "docker", "docker", 3, 0.02, 8),
    Sort("interview", "Interviews", "A clean machine for an hour", "docker", "docker", 1, 0.01, 1),
    Sort("legacy-php", "The old shop", "PHP 7, until it is gone", "docker", "docker", 1, 0.04, 8),
)

MAIN = """\
terraform {{
  required_providers {{
    coder = {{
      source  = "coder/coder"
      version = ">= 0.6.{revision}"
    }}
  }}
}}

variable "{variable}" {{
  description = "Where the workspaces run"
  type        = string
  default     = "default"
}}

data "coder_workspace" "me" {{}}

{parameters}resource "coder_agent" "main" {{
  os             = "linux"
  arch           = "amd64"
  dir            = "/home/coder"
  startup_script = <<-EOT
    set -eu
    # revision {revision}
    /opt/editor/bin/code-server --auth none --port 13337 >/tmp/editor.log 2>&1 &
  EOT
}}

resource "coder_app" "editor" {{
  agent_id     = coder_agent.main.id
  slug         = "editor"
  display_name = "Editor"
  icon         = "/icon/code.svg"
  url          = "http://localhost:13337/?folder=/home/coder"
}}

resource "{volume}" "home" {{
  name = "coder-${{data.coder_workspace.me.id}}-home"
}}

resource "{machine}" "workspace" {{
  count = data.coder_workspace.me.start_count
  name  = "${{data.coder_workspace.me.owner}}-${{data.coder_workspace.me.name}}"
}}

resource "coder_metadata" "workspace" {{
  count       = data.coder_workspace.me.start_count
  resource_id = {machine}.workspace[0].id
  daily_cost  = {cost}
  item {{
    key   = "{shown}"
    value = data.coder_parameter.{shown}.value
  }}
}}
"""
PARAMETER = """\
data "coder_parameter" "{0.name}" {{
  name        = "{0.name}"
  description = "{0.description}"
  type        = "{0.type}"
  default     = "{0.default}"
  mutable     = {mutable}
{options}}}

"""
OPTION = """\

  option {{
    name  = "{0}"
    value = "{0}"
  }}
"""
README = """\
# {title}

{description}.

Revision {revision}. The home folder is kept when the workspace stops. Ask the owners of this template before you raise
the limits.

| parameter | default |
| --- | --- |
{rows}
"""


def readme(sort: Sort, revision: int) -> str:
    rows = "\n".join(f"| {option.name} | {option.default} |" for option in FAMILIES[sort.family].parameters)
    return README.format(title=sort.title, description=sort.description, revision=revision, rows=rows)


def configuration(sort: Sort, revision: int) -> str:
    family = FAMILIES[sort.family]
    parameters = "".join(
        PARAMETER.format(
            option,
            mutable=str(option.mutable).lower(),
            options="".join(OPTION.format(value) for value, _ in option.options),
        )
        for option in family.parameters
    )
    return MAIN.format(
        revision=revision,
        variable=family.variable,
        parameters=parameters,
        volume=family.volume,
        machine=family.machine,
        cost=family.cost,
        shown=family.parameters[0].name,
    )


def archive(sort: Sort, revision: int) -> bytes:
    """Return the source of a version as a tar."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in (("README.md", readme(sort, revision)), ("main.tf", configuration(sort, revision))):
            member = tarfile.TarInfo(name)
            member.mode, member.size = 0o644, len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return content.getvalue()


STARTUP_SCRIPT = dedent("""\
    set -eu
    /opt/editor/bin/code-server --auth none --port 13337 >/tmp/editor.log 2>&1 &
""")
