"""The public registries, and the providers that templates use most."""

from pathlib import Path

# A process that is started before its job is known needs the sockets of all providers at its start. These are the
# providers that templates use most. Addresses that a template does not use cost nothing.
COMMON_PROVIDERS = (
    "kreuzwerker/docker",
    "hashicorp/kubernetes",
    "hashicorp/helm",
    "hashicorp/aws",
    "hashicorp/google",
    "hashicorp/google-beta",
    "hashicorp/azurerm",
    "hashicorp/nomad",
    "hashicorp/null",
    "hashicorp/random",
    "hashicorp/local",
    "hashicorp/tls",
    "hashicorp/time",
    "hashicorp/http",
    "hashicorp/external",
    "hashicorp/cloudinit",
    "hashicorp/archive",
    "digitalocean/digitalocean",
    "hetznercloud/hcloud",
    "linode/linode",
    "telmate/proxmox",
    "bpg/proxmox",
    "dmacvicar/libvirt",
    "coder/envbuilder",
)
REGISTRY, OTHER_REGISTRY = "registry.terraform.io", "registry.opentofu.org"


def in_both_registries(address: str, path: Path) -> dict[str, Path]:
    """Return the socket under the address in both registries: OpenTofu has a different default registry."""
    host, _, name = address.partition("/")
    return {f"{OTHER_REGISTRY}/{name}": path, address: path} if host == REGISTRY else {address: path}
