"""The settings of provisioner daemons, with and without Django.

``coderproj.settings`` imports them. A daemon on another machine reads them here, without a database.
"""

from pathlib import Path

from coderproj import env
from provisioning.engine import allowed_hosts

# Where a daemon without Django finds its job kinds. A system check compares them with those of the installed apps.
JOB_KINDS = ("templates_app.job_kinds.KINDS", "templates_app.workspaces.job_kinds.KINDS")
DATA_DIR = env.path("CODERPROJ_DATA_DIR", Path(__file__).resolve().parents[2] / ".data")
PROVISIONER_CONCURRENCY = env.integer("PROVISIONER_CONCURRENCY", 2, minimum=1)
PROVISIONER_LEASE_SECONDS = env.integer("PROVISIONER_LEASE_SECONDS", 30, minimum=1)
PROVISIONER_JOB_SECONDS = env.integer("PROVISIONER_JOB_SECONDS", 600, minimum=1)
PROVISIONER_CANCEL_GRACE_SECONDS = env.integer("PROVISIONER_CANCEL_GRACE_SECONDS", 10, minimum=1)
PROVISIONER_BUILD_SECONDS = env.integer("PROVISIONER_BUILD_SECONDS", 3600, minimum=1)
PROVISIONER_APPLY_GRACE_SECONDS = env.integer("PROVISIONER_APPLY_GRACE_SECONDS", 120, minimum=1)
PROVISIONER_STUB_PROVIDERS = env.boolean("PROVISIONER_STUB_PROVIDERS", True)
PROVISIONER_NETWORK = env.boolean("PROVISIONER_NETWORK", True)
PROVISIONER_PLAN_NETWORK = env.boolean("PROVISIONER_PLAN_NETWORK", False)
PROVISIONER_PLAN_HOSTS = env.words("PROVISIONER_PLAN_HOSTS", check=allowed_hosts.parse)
PROVISIONER_READ_PATHS = env.paths("PROVISIONER_READ_PATHS")
PROVISIONER_SOCKETS = env.paths("PROVISIONER_SOCKETS")
PROVISIONER_INSTALL_SECONDS = env.integer("PROVISIONER_INSTALL_SECONDS", 60, minimum=1)
PROVISIONER_REGISTRY_SECONDS = env.integer("PROVISIONER_REGISTRY_SECONDS", 10, minimum=1)
PROVISIONER_REGISTRY_CACHE_SECONDS = env.integer("PROVISIONER_REGISTRY_CACHE_SECONDS", 60, minimum=0)
PROVISIONER_REMOTE_MODULES = env.boolean("PROVISIONER_REMOTE_MODULES", False)
PROVISIONER_GIT_CREDENTIALS = env.text("PROVISIONER_GIT_CREDENTIALS")
PROVISIONER_REGISTRIES = env.words("PROVISIONER_REGISTRIES", "registry.terraform.io,registry.opentofu.org")
PROVISIONER_CLI_CONFIG = env.text("PROVISIONER_CLI_CONFIG")
PROVISIONER_SANDBOX = env.choice("PROVISIONER_SANDBOX", "auto", ("auto", "landlock", "bubblewrap", "off"))
PROVISIONER_ENVIRONMENT = env.words("PROVISIONER_ENVIRONMENT")
TERRAFORM_BINARY = env.text("TERRAFORM_BINARY")
# A daemon with a key connects to the server over HTTPS.
CODER_URL = env.text("CODER_URL")
PROVISIONER_DAEMON_KEY = env.text("PROVISIONER_DAEMON_KEY")
LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
