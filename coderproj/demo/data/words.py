"""The names and texts of the data. None belongs to a person or a company."""

FIRST_NAMES = """
ada alan amara anders anika aria ben bianca boris camille carla chen clara dario david diego dilan elena elif emil
emma erik esther farah felix fiona freya gael greta hana hannes hugo ida ines ingrid ivan jana jonas jun kai karin
kenji lars laura leila leo lena lina lucas maja marco maria marta max mei milan mina mira nadia nils nora olga oscar
otto paul petra priya rafael ravi rosa ruth samir sara selma simon sofia stefan sven tara theo tomas vera viktor
wanda yara yusuf zoe
""".split()  # noqa: SIM905 - a list of quoted words reads badly
SURNAMES = """
abbas adler amsel arndt bauer becker berg bianchi brandt castro costa dahl diaz duarte ebert eklund engel farkas
fischer fontana forster garcia haas hansen hartmann herrera holm horvat ito jansen kaya keller khan kim klein koch
kovac kumar lange larsen lehmann lopez lund marin martin meyer mori moser mueller nagy nakamura novak nowak okafor
olsen park patel perez petrov ramos reis ricci rossi roth rojas santos sato schmid silva singh sommer stein suzuki
tanaka torres vogel wagner weber winter wolf yilmaz young zimmer
""".split()  # noqa: SIM905 - a list of quoted words reads badly
TEAMS = (
    "accounts",
    "billing",
    "data-platform",
    "design-systems",
    "frontend",
    "infrastructure",
    "machine-learning",
    "mobile",
    "payments",
    "quality",
    "research",
    "search",
    "security",
    "support-tools",
)
CONTRACTORS = "contractors"
# Time zones of the users, and how many of them live there.
ZONES = {"Europe/Berlin": 0.55, "America/New_York": 0.28, "Asia/Kolkata": 0.17}
PROJECTS = """
api atlas backend bench billing blog cart catalog checkout cli console data demo dev docs editor etl events feed
frontend gateway graph hotfix import infra ingest jobs ledger login lab mail main maps metrics mobile model notes
orders parser payments pipeline portal prices proto queue release reports sandbox scratch search shop signup site
spike staging stats store stream sync test tools training ui upgrade web wiki
""".split()  # noqa: SIM905 - a list of quoted words reads badly
MESSAGES = (
    "Raise the default memory",
    "Keep the shell history in the home volume",
    "Pin the image, builds were not repeatable",
    "Add a health check to the editor",
    "Start the editor before the dotfiles",
    "Offer a larger machine type",
    "Update the provider",
    "Install the certificate of the proxy",
    "Use the mirror for packages",
    "Shorter startup script: tools moved into the image",
    "Fix the path of the workspace folder",
    "Add a parameter for the region",
    "Mount the shared cache read-only",
    "Lower the disk size: nobody used it",
    "Security updates of the base image",
    "Set the time zone of the machine",
    "Go back to the driver of last month",
    "",
)
IMPORT_ERRORS = (
    'terraform plan: Unsupported argument: An argument named "memory_limit" is not expected here.',
    'terraform plan: Reference to undeclared input variable: There is no variable with the name "zone".',
    "terraform init: Failed to query available provider packages: no available releases match the given constraints",
    "missing parameter: registry_token",
)
# By the family of a template.
BUILD_ERRORS = {
    "docker": (
        "terraform apply: Unable to create container: no space left on device",
        "terraform apply: Unable to read Docker image into resource: connection refused",
        "terraform apply: Unable to start container: port is already allocated",
    ),
    "kubernetes": (
        "terraform apply: pods is forbidden: exceeded quota: limits.memory",
        "terraform apply: Waiting for rollout to finish: 1 replicas wanted; 0 replicas ready",
        'terraform apply: Post "https://cluster.example.com/api/v1": net/http: TLS handshake timeout',
    ),
    "cloud": (
        "terraform apply: InsufficientInstanceCapacity: there is not enough capacity in this zone",
        "terraform apply: VcpuLimitExceeded: you have requested more vCPU capacity than your limit",
        "terraform apply: timeout while waiting for state to become 'running'",
    ),
}
ADDRESSES = ("192.0.2.", "198.51.100.", "203.0.113.")
BROWSERS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
)
AGENT_VERSIONS = ("v0.15.1", "v0.15.2", "v0.15.3")
