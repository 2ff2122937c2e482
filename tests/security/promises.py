"""What the product promises about security and reliability, and the mark of each promise.

Tests name the promises that they count: ``@pytest.mark.promise("S1")``. They report what they counted with the fixture
``measured``. ``make security`` runs these tests and compares their counts with the marks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Promise:
    """A promise and its mark. It is kept if at least one test counts it, all of its tests pass, every figure in
    ``least`` is reached, and none in ``most`` is exceeded. A figure that no test measured misses its mark.
    """

    id: str
    text: str
    least: Figures = field(default_factory=dict)
    most: Figures = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """The mark as text."""
        least = [f"{name} >= {value:,g}" for name, value in self.least.items()]
        most = [f"{name} <= {value:,g}" for name, value in self.most.items()]
        return ", ".join(least + most) or "all tests pass"

    def missed(self, figures: Figures) -> list[str]:
        """Return the names of the figures that miss their mark."""
        low = [name for name, value in self.least.items() if figures.get(name, float("-inf")) < value]
        return low + [name for name, value in self.most.items() if figures.get(name, float("inf")) > value]


# The figures of an abuse: the time of other callers' requests, and memory 10 s after its end compared with before.
P95, MEMORY = "p95 ms", "MiB kept"
RESPONSIVE = {P95: 100, MEMORY: 40, "s of work left": 2}

SAFETY = (
    Promise(
        "S1",
        "malformed requests to every documented endpoint get an error in the envelope",
        {"requests": 390},
        {"answers >= 500": 0, "without envelope or with internals": 0},
    ),
    Promise("S2", "requests without a valid token are rejected", {"requests": 216}, {"not 401": 0}),
    Promise(
        "S3", "hidden and missing objects look alike, and nothing changes", {"probes": 100}, {"leaks or changes": 0}
    ),
    Promise("S4", "hostile archives are refused by member, good ones are stored", {"archives": 60}),
    Promise("S5", "a plan reaches no host file, secret, process or network", {"attempts": 50}, {"escapes": 0}),
    Promise("S6", "a job's time, memory, processes, disk and output are limited", {"bombs": 10}, {"not stopped": 0}),
    Promise("S7", "only hashes of tokens are stored; sign-out, password, suspension and deletion end them at once"),
    Promise("S8", "guessing passwords is limited, unknown users and wrong passwords look alike", {}, {"tries": 150}),
    Promise("S9", "a token in the URL works for followed logs only and appears in no log line", {}, {"leaks": 0}),
    Promise("S10", "WebSockets reject foreign origins, missing tokens and other tenants", {"tries": 5}),
    Promise("S11", "sensitive values appear in no response, log line or audit row"),
    Promise("S12", "forged ids, owners and flags in bodies change nothing", {"bodies": 5}),
    Promise("S13", "stored output has no control characters and loses no line"),
    Promise("S14", "stored scripts do not run in a browser", {"payloads": 60, "pages": 15}, {"fired": 0}),
    Promise("S15", "other sites cannot write with a visitor's cookie or sign a browser in"),
    Promise("S16", "the deployment check passes with production settings", {}, {"warnings": 0}),
    Promise("S17", "the linter's security rules are clean; no mark_safe or body reaches the ORM", {}, {"findings": 0}),
    Promise("S18", "every route declares who may call it", {"routes": 100}),
    Promise("S19", "no caller keeps the web server busy for the others", {"abuses": 7}, RESPONSIVE),
    Promise("S20", "the admin shows nothing that the API refuses to the same user", {"roles": 6}, {"fields": 0}),
    Promise(
        "S21",
        "a sign-in or token that is under way does not survive a change of password, status or keys",
        {"rounds": 100},
        {"keys left": 0},
    ),
    Promise(
        "S22",
        "the relay serves announced keys only, each with its agent or its clients, until the right is lost",
        {"strangers": 12, "forbidden packets": 5},
        {"accepted or passed on": 0, "seconds after the loss": 60},
    ),
)
RELIABILITY = (
    Promise(
        "R1",
        "no job or state is lost, and none is completed twice, through faults",
        {"injections": 200},
        {
            "lost": 0,
            "completed twice": 0,
            "not terminal within 60 s": 0,
            "states lost": 0,
            "builds at once": 0,
        },
    ),
    Promise(
        "R2",
        "log lines arrive once and in order through faults",
        {"injections": 200, "followers": 200},
        {"lines lost": 0, "lines duplicated": 0, "lines out of order": 0},
    ),
    Promise(
        "R3",
        "each job is started once; a job canceled while pending never",
        {"jobs": 1000, "workers": 8},
        {"started twice": 0, "not started": 0, "canceled but started": 0},
    ),
    Promise("R4", "concurrent changes have one winner; the others get a documented error", {"rounds": 100}),
    Promise("R5", "a lost heartbeat ends or returns the job, with a stored reason within a minute"),
    Promise("R6", "a canceled job ends", {"jobs": 100}, {"not canceled": 0, "seconds": 30}),
    Promise(
        "R7",
        "bursts complete: imports at once, followers of one job",
        {"imports": 20, "followers": 200},
        {"incomplete": 0},
    ),
    Promise("R8", "migrations run forward, back and forward, empty and filled", {"databases": 2}, {"missing": 0}),
    Promise("R9", "a dump restored into a new database gives the same answers", {"answers": 10}, {"differences": 0}),
)
# Kinds of attacks that once worked.
ATTACKS = (
    Promise("A1", "slow and long bodies of callers without a session", {}, RESPONSIVE),
    Promise("A2", "the admin shows inputs of jobs, environments and keys to auditors", {"roles": 6}, {"fields": 0}),
    Promise("A3", "patterns of parameters that take exponential time", {}, RESPONSIVE),
    Promise("A4", "comparisons of repeated lines and words", {}, RESPONSIVE),
    Promise("A5", "previews of deeply nested configuration", {}, RESPONSIVE),
    Promise("A6", "readmes and descriptions that take long to render", {}, RESPONSIVE),
    Promise("A7", "a sign-in that survives a change of password or status", {"rounds": 100}, {"keys left": 0}),
    Promise("A8", "signing a visitor's browser in from another site"),
    Promise("A9", "taking over accounts with more rights as a user admin"),
    Promise("A10", "archives with links below dropped names", {"archives": 1}),
    Promise("A11", "slow patterns outside of a job's time limit"),
    Promise("A12", "numbers and texts of a daemon that cannot be stored"),
    Promise("A13", "connections with unfinished heads", {"connections": 1000}, {**RESPONSIVE, "left open": 0}),
    Promise("A14", "uploads that keep all CPUs busy", {"uploads": 12}, RESPONSIVE),
    Promise("A15", "large uploads at once", {"uploads": 5}, RESPONSIVE),
    Promise("A16", "rate limits that keep every path in memory"),
    Promise("A17", "an audit of packages that audits nothing", {"packages": 50}, {"not audited": 0, "vulnerable": 0}),
)
PROMISES = {promise.id: promise for promise in (*SAFETY, *RELIABILITY, *ATTACKS)}
