"""Django settings. Each environment variable is read once, here or in ``provisioning.daemon.settings``, by the typed
readers of ``env.py``.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF

from coderproj import __version__, env
from coderproj.postgres import EmbeddedPostgres
from provisioning.daemon import settings

BASE_DIR = Path(__file__).resolve().parent.parent

# ------------------------------------------------------------------ set by the operator
DATA_DIR = settings.DATA_DIR
DEBUG = env.boolean("CODERPROJ_DEBUG", False)
PORT = env.integer("PORT", 3000, minimum=0)
ACCESS_URL = env.text("CODERPROJ_ACCESS_URL", f"http://localhost:{PORT}").rstrip("/")
BRAND = env.text("CODERPROJ_BRAND", "coderproj")
ADMIN_EMAIL = env.text("CODERPROJ_ADMIN_EMAIL")
ADMIN_PASSWORD = env.text("CODERPROJ_ADMIN_PASSWORD")

API_DIALECT = env.choice("API_DIALECT", "auto", ("auto", "documented", "sdk"))
UPLOAD_MAX_BYTES = env.integer("UPLOAD_MAX_BYTES", 100 * 1024 * 1024, minimum=1024)
SESSION_LIFETIME_SECONDS = env.integer("SESSION_LIFETIME_SECONDS", 24 * 3600, minimum=60)
TOKEN_LIFETIME_SECONDS = env.integer("TOKEN_LIFETIME_SECONDS", 30 * 24 * 3600, minimum=60)
TOKEN_MAX_LIFETIME_SECONDS = env.integer("TOKEN_MAX_LIFETIME_SECONDS", 10 * 365 * 24 * 3600, minimum=60)
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
WEB_CPUS = env.cpus("WEB_CPUS")  # empty: the operating system decides
WEB_THREADS = env.integer("WEB_THREADS", 16, minimum=1)  # each can hold a database connection
AGENT_TROUBLESHOOTING_URL = env.text("AGENT_TROUBLESHOOTING_URL", "")
AGENT_BINARIES = env.location("AGENT_BINARIES")  # empty: there are none
AGENT_STATS_SECONDS = env.integer("AGENT_STATS_SECONDS", 600, minimum=30)
RELAY_URL = env.origin("RELAY_URL")  # empty: there is no relay
RELAY_PORT = env.integer("RELAY_PORT", 3479, minimum=0)
RELAY_KEY = env.hexadecimal("RELAY_KEY", 32)  # empty: one in the data folder
RELAY_CONNECTIONS = env.integer("RELAY_CONNECTIONS", 4096, minimum=1)
RELAY_BYTES_PER_SECOND = env.integer("RELAY_BYTES_PER_SECOND", 0, minimum=0)  # of a connection; 0 for no limit
RELAY_MEMORY_MIB = env.integer("RELAY_MEMORY_MIB", 64, minimum=1)
# How long statistics of days are kept, and whether any of their rows are about single users.
STATISTICS_DAYS = env.integer("STATISTICS_DAYS", 90, minimum=1)
STATISTICS_PER_USER = env.boolean("STATISTICS_PER_USER", default=True)
WEB_KEPT_ANSWERS_MIB = env.integer("WEB_KEPT_ANSWERS_MIB", 8, minimum=0)
# Per minute, 0 for no limit: requests per user (or address) and path, password attempts per address, wrong passwords
# per account, uploads.
RATELIMIT_API = env.integer("RATELIMIT_API", 512, minimum=0)
RATELIMIT_LOGIN = env.integer("RATELIMIT_LOGIN", 60, minimum=0)
RATELIMIT_ACCOUNT = env.integer("RATELIMIT_ACCOUNT", 20, minimum=0)
RATELIMIT_UPLOADS = env.integer("RATELIMIT_UPLOADS", 12, minimum=0)
STREAMS_PER_USER = env.integer("STREAMS_PER_USER", 1000, minimum=1)

# Daemons also read these without Django.
PROVISIONER_CONCURRENCY = settings.PROVISIONER_CONCURRENCY
PROVISIONER_LEASE_SECONDS = settings.PROVISIONER_LEASE_SECONDS
PROVISIONER_JOB_SECONDS = settings.PROVISIONER_JOB_SECONDS
PROVISIONER_CANCEL_GRACE_SECONDS = settings.PROVISIONER_CANCEL_GRACE_SECONDS
PROVISIONER_BUILD_SECONDS = settings.PROVISIONER_BUILD_SECONDS
PROVISIONER_APPLY_GRACE_SECONDS = settings.PROVISIONER_APPLY_GRACE_SECONDS
PROVISIONER_STUB_PROVIDERS = settings.PROVISIONER_STUB_PROVIDERS
PROVISIONER_NETWORK = settings.PROVISIONER_NETWORK
PROVISIONER_PLAN_NETWORK = settings.PROVISIONER_PLAN_NETWORK
PROVISIONER_PLAN_HOSTS = settings.PROVISIONER_PLAN_HOSTS
PROVISIONER_READ_PATHS = settings.PROVISIONER_READ_PATHS
PROVISIONER_SOCKETS = settings.PROVISIONER_SOCKETS
PROVISIONER_INSTALL_SECONDS = settings.PROVISIONER_INSTALL_SECONDS
PROVISIONER_REGISTRY_SECONDS = settings.PROVISIONER_REGISTRY_SECONDS
PROVISIONER_REGISTRY_CACHE_SECONDS = settings.PROVISIONER_REGISTRY_CACHE_SECONDS
PROVISIONER_REMOTE_MODULES = settings.PROVISIONER_REMOTE_MODULES
PROVISIONER_GIT_CREDENTIALS = settings.PROVISIONER_GIT_CREDENTIALS
PROVISIONER_REGISTRIES = settings.PROVISIONER_REGISTRIES
PROVISIONER_CLI_CONFIG = settings.PROVISIONER_CLI_CONFIG
PROVISIONER_SANDBOX = settings.PROVISIONER_SANDBOX
PROVISIONER_ENVIRONMENT = settings.PROVISIONER_ENVIRONMENT
TERRAFORM_BINARY = settings.TERRAFORM_BINARY

# ------------------------------------------------------------------ version and identity
# First the API version that clients check, then the version of this product.
BUILD_VERSION = f"v0.15.3+{__version__}"
SECURE = ACCESS_URL.startswith("https://")


def secret_key() -> str:
    """Return the configured key, or one that is generated on first use and stored in the data folder with mode 0600."""
    configured = env.text("CODERPROJ_SECRET_KEY")
    if configured:
        return configured
    path = DATA_DIR / "secret_key"
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        DATA_DIR.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass  # another process created it first
    return path.read_text(encoding="ascii")


SECRET_KEY = secret_key()
# Secrets from which the keys of the workspaces' states are derived: the first one encrypts, all of them decrypt.
STATE_KEYS = env.words("CODERPROJ_STATE_KEYS") or [SECRET_KEY]


def access_host() -> str:
    """Return the host of the access URL, with an IPv6 address in brackets as in a ``Host`` header."""
    host = urlsplit(ACCESS_URL).hostname or "localhost"
    return f"[{host}]" if ":" in host else host


ALLOWED_HOSTS = [
    "localhost",
    "127.0.0.1",
    "[::1]",
    access_host(),
    *env.words("CODERPROJ_ALLOWED_HOSTS"),
]
CSRF_TRUSTED_ORIGINS = [ACCESS_URL]

# ------------------------------------------------------------------ Django
ROOT_URLCONF = "coderproj.urls"
AUTH_USER_MODEL = "identity.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False  # a redirected PATCH arrives as a GET
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
LOGIN_URL = "sign-in"

INSTALLED_APPS = [
    "coderproj.console",  # before the admin, because it overrides the admin's base template
    "django.contrib.admin.apps.SimpleAdminConfig",  # ``urls.py`` runs autodiscover: only the web server needs the admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "coderproj",
    "coderproj.identity",
    "coderproj.accounts",
    "coderproj.worker",
    "provisioning",
    "templates_app",
    "templates_app.workspaces",
    "templates_app.agents",
]

# The first two apply to every request; the others apply to pages only and skip /api/.
MIDDLEWARE = [
    "coderproj.web.middleware.RequestIdMiddleware",
    "coderproj.web.middleware.ApiPathMiddleware",
    "coderproj.web.middleware.PageSecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "coderproj.web.middleware.PageCompressionMiddleware",
    "coderproj.web.middleware.PageSessionMiddleware",
    "coderproj.web.middleware.PageCommonMiddleware",
    "coderproj.web.middleware.PageCsrfMiddleware",
    "coderproj.console.middleware.PageAuthenticationMiddleware",
    "coderproj.web.middleware.PageMessageMiddleware",
    "coderproj.web.middleware.PageClickjackingMiddleware",
    "coderproj.web.middleware.PageHtmxMiddleware",
    "coderproj.web.middleware.PagePolicyMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "coderproj.console.context.console",
            ],
        },
    },
]

# ------------------------------------------------------------------ database
# Without DATABASE_URL: the embedded server, which ``manage.py up`` starts.
DATABASES = {"default": env.database(default=EmbeddedPostgres(DATA_DIR / "postgres").url)}
DATABASES["default"]["CONN_MAX_AGE"] = 0  # the pool keeps connections open
DATABASES["default"]["OPTIONS"] = {
    "application_name": "coderproj",
    # TCP keepalives, in seconds: firewalls do not drop idle connections of the pool, and dead ones are detected.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    **DATABASES["default"]["OPTIONS"],
    "pool": {"min_size": 1, "max_size": env.integer("DATABASE_POOL_SIZE", 20, minimum=2), "timeout": 15},
    "server_side_binding": True,
    # A statement is prepared at its fifth use. Turn this off behind a pooler that assigns a connection per transaction.
    "prepare_threshold": 5 if env.boolean("DATABASE_PREPARE", default=True) else None,
}

# ------------------------------------------------------------------ periodic tasks
# Lists of ``coderproj.worker.periodic.PeriodicTask``, in modules without Django.
PERIODIC_TASKS = ["templates_app.workspaces.tasks.PERIODIC_TASKS", "templates_app.agents.tasks.PERIODIC_TASKS"]

# ------------------------------------------------------------------ passwords and sessions
AUTHENTICATION_BACKENDS = ["coderproj.identity.backends.PasswordBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
PASSWORD_LENGTH = 8
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": PASSWORD_LENGTH},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = "coderproj_session"
SESSION_COOKIE_AGE = SESSION_LIFETIME_SECONDS
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = SECURE
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
CSRF_COOKIE_SECURE = SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "coderproj.console.errors.csrf_failure"
# Pages load everything from this server and contain nothing inline.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_HSTS_PRELOAD = SECURE
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# W008: TLS ends at the reverse proxy, which also redirects. A redirect by Django would turn an API write into a read.
# W004: a conditional constraint makes email addresses unique among users that are not deleted.
# W001 to W003: Django compares middleware by name and does not recognize our subclasses. coderproj.E001 checks them.
SILENCED_SYSTEM_CHECKS = ["security.W008", "auth.W004", "security.W001", "security.W002", "security.W003"]

# ------------------------------------------------------------------ uploads and static files
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "coderproj.console.uploads.LimitedUpload",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
STATIC_URL = "/static/"
STATIC_ROOT = env.text("STATIC_ROOT") or None  # ``manage.py up`` sets it for the web server and collects the files
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "coderproj.console.static_files.HashedStaticFiles"},
}
WHITENOISE_USE_FINDERS = True
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_MAX_AGE = 3600

# ------------------------------------------------------------------ REST API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["coderproj.api.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["coderproj.api.permissions.SignedIn"],
    "DEFAULT_THROTTLE_CLASSES": ["coderproj.api.throttling.ApiThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["coderproj.api.renderers.CompactJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["coderproj.api.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "coderproj.api.renderers.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "coderproj.api.schema.ApiSchema",
    "DEFAULT_FILTER_BACKENDS": ["coderproj.api.filters.SearchFilterBackend"],
    "EXCEPTION_HANDLER": "coderproj.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "coderproj",
    "DESCRIPTION": "Control plane for development-environment templates. It implements Coder's v2 Templates API.",
    "VERSION": __version__,
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v2",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "provisioning.views.remote_schema.add_components",
    ],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_SUFFIX": "",
    "ENUM_NAME_OVERRIDES": {  # the names of the documented API, where it defines one
        "APIKeyScope": "coderproj.identity.models.KeyScope",
        "AuditAction": "coderproj.identity.models.AuditAction",
        "LogLevel": "provisioning.engine.base.LogLevel",
        "LogSource": "provisioning.engine.base.LogSource",
        "LoginType": "coderproj.identity.models.LoginType",
        "ParameterDestinationScheme": "provisioning.models.DestinationScheme",
        "ParameterScope": "provisioning.models.ParameterScope",
        "ParameterSourceScheme": "provisioning.models.SourceScheme",
        "ProvisionerJobStatus": "provisioning.models.JobStatus",
        "ProvisionerJobType": "provisioning.models.jobs.job_types",
        "ProvisionerType": "provisioning.models.Provisioner",
        "TemplateRole": "templates_app.models.AccessRole",
        "UserLogin": "coderproj.identity.models.UserLogin",
        "UserStatus": "coderproj.identity.models.UserStatus",
        "WorkspaceAgentLifecycle": "provisioning.models.resources.AgentLifecycle",
        "WorkspaceAppHealth": "provisioning.models.AppHealth",
        "WorkspaceAppSharingLevel": "provisioning.models.resources.SHARING_LEVELS",
        "WorkspaceTransition": "provisioning.models.resources.TRANSITIONS",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "coderproj.base.log_format.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": settings.LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": [], "propagate": True},
        "django.request": {"level": "ERROR"},  # the response already reports errors of the client
        "httpx": {"level": "WARNING"},
        "procrastinate": {"level": "WARNING"},  # otherwise a few lines for each task
    },
}
