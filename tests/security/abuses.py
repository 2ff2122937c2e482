"""Attacks on the availability of a real web server, by real clients, beside a probe: ``make security ARGS=S19``.

Each was possible once. While it runs, other callers' reads must stay fast, and afterwards the server must give its
memory back and work no more. These tests measure times, so nothing else may run beside them.
"""

import contextlib
import gzip
import http.client
import io
import itertools
import os
import resource
import signal
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest

from coderproj.identity.authentication import SESSION_COOKIE
from coderproj.web.protocols import HEAD_SECONDS
from provisioning.models import ProvisionerJob
from templates_app.models import RichParameter, TemplateVersion
from tests.factories import make_file, make_template, make_version
from tests.security.site import Site, attack, make_site, served
from tests.vocabulary import tar_of

pytestmark = [pytest.mark.slow, pytest.mark.promise("S19")]

VARIANTS = 24  # results are stored by their content: each page that is asked for is another one
CSRF = "a" * 32
TIMEOUT = 60.0
# Seconds between two requests of one client: what counts is what it asks for, not how often it asks.
PAUSE = 1.0


@pytest.fixture(scope="module")
def server(django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[tuple[str, int]]:
    with django_db_blocker.unblock(), served(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture
def site(transactional_db, server) -> Site:
    made = make_site(*server)
    # The first visit imports modules and fills caches, which no attack is to blame for.
    for path in ("", "/parameters", "/versions"):
        assert browse(made, made.new_token(f"visitor{path[1:]}"), f"/templates/site/{made.template.name}{path}") == 200
    return made


# ---------------------------------------------------------------------- clients
def connected(site: Site) -> socket.socket:
    parts = urlsplit(site.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(site: Site, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> int:
    """Send a request on a new connection, read the response and return its status; 0 if one side hung up."""
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=TIMEOUT)
    try:
        connection.connect()
        site.connections.append(connection.sock)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def browse(site: Site, token: str, path: str, form: dict[str, str] | None = None) -> int:
    """Open a page, or post a form, as the user of the token."""
    headers = {"Cookie": f"{SESSION_COOKIE}={token}; csrftoken={CSRF}"}
    if form is None:
        return request(site, "GET", path, headers)
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    return request(site, "POST", path, headers, urlencode({**form, "csrfmiddlewaretoken": CSRF}).encode())


class Visits:
    """An attack: opens these pages one after the other, and counts the statuses."""

    def __init__(self, site: Site, token: str, paths: list[str]) -> None:
        self._site, self._token = site, token
        self._paths = itertools.cycle(paths)
        self.statuses: list[int] = []

    def __call__(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.statuses.append(browse(self._site, self._token, next(self._paths)))
            stop.wait(PAUSE)

    def check(self) -> None:
        """Assert that pages were served, others were put off, and only the last ones were not answered."""
        assert 200 in self.statuses
        assert set(self.statuses) <= {0, 200, 429, 503}, self.statuses


def with_source(site: Site, version: TemplateVersion, source: dict[str, str]) -> TemplateVersion:
    """Give a version the files."""
    file = make_file(site.owner, tar_of(source))
    ProvisionerJob.objects.filter(pk=version.job_id).update(file=file)
    return version


# ---------------------------------------------------------------------- slow callers
@pytest.mark.promise("A1")
@pytest.mark.parametrize(
    ("path", "announced"),
    [
        ("/api/v2/users/login", "Content-Length: 1000000"),
        ("/api/v2/csp/reports", "Transfer-Encoding: chunked"),
        ("/login", "Content-Length: 60000"),
    ],
)
def test_bodies_that_arrive_byte_by_byte(site, measured, path, announced):
    piece = b"1\r\nx\r\n" if "chunked" in announced else b"x"
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", announced, "", "")
    head = "\r\n".join(lines).encode()

    def run(stop: threading.Event) -> None:
        with contextlib.ExitStack() as stack:
            held: list[socket.socket] = []
            while not stop.wait(0.25):
                while len(held) < 20:
                    held.append(stack.enter_context(connected(site)))
                    held[-1].sendall(head)
                for connection in list(held):
                    try:
                        connection.sendall(piece)
                    except OSError:  # the server has refused the body
                        held.remove(connection)

    attack(site, measured, run, clients=3, seconds=6)


@pytest.mark.promise("A13")
def test_connections_with_unfinished_heads(site, measured):
    count = 2_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 1_000)), hard))
    held: list[socket.socket] = []
    lock = threading.Lock()

    def run(stop: threading.Event) -> None:
        for _ in range(count // 4):
            connection = connected(site)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ")
            with lock:
                held.append(connection)
        stop.wait()

    attack(site, measured, run, clients=4, seconds=HEAD_SECONDS + 8)
    left = sum(is_open(connection) for connection in held)
    for connection in held:
        connection.close()
    measured.add(connections=len(held), left_open=left)
    assert left == 0


def is_open(connection: socket.socket) -> bool:
    """Return True if the server has neither answered nor closed the connection."""
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


# ---------------------------------------------------------------------- members
PATTERNS = ("^(a|aa)+b$", "^(a+)+$", "^(([a-z])+.)+[A-Z]$", "(a*)*(a*)*(a*)*b", "^(?:(?:a?){30}){30}$")


@pytest.mark.promise("A3", "A11")
@pytest.mark.parametrize("length", [38, 2_000])
def test_patterns_of_parameters(site, measured, length):
    template = make_template(user=site.owner, organization=site.organization)
    version = template.active_version
    for number, pattern in enumerate(PATTERNS):
        RichParameter.objects.create(
            template_version=version,
            index=number,
            name=f"p{number}",
            type="string",
            validation_regex=pattern,
            validation_error="no",
        )
    token = site.new_token(f"patterns-{length}")
    form = {f"parameter.p{number}": "a" * (length - 1) + "!" for number in range(len(PATTERNS))}
    path = f"/templates/site/{template.name}/versions/{version.name}/parameters/check"
    statuses = []

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            statuses.append(browse(site, token, path, form))
            stop.wait(PAUSE)

    attack(site, measured, run, clients=8)
    assert 200 in statuses
    assert set(statuses) <= {0, 200, 429, 503}


def words(lines: int, seed: int) -> str:
    """Return lines of 2,000 short words."""
    return "\n".join(" ".join(f"w{(line * 7 + word * seed) % 13}" for word in range(2_000)) for line in range(lines))


@pytest.mark.promise("A4")
@pytest.mark.parametrize("kind", ["words", "lines"])
def test_comparisons_of_repeated_words_and_lines(site, measured, kind):
    template = make_template(user=site.owner, organization=site.organization)
    names = []
    for number in range(VARIANTS):
        text = words(40, number + 3) if kind == "words" else "\n".join(f"x{n % (60 + number)}" for n in range(9_000))
        version = make_version(user=site.owner, organization=site.organization, template=template)
        names.append(with_source(site, version, {"main.tf": text, "b.txt": f"{number}"}).name)
    paths = [f"/templates/site/{template.name}/versions/{name}/changes" for name in names[1:]]
    visits = Visits(site, site.new_token(f"comparing-{kind}", "template-admin"), paths)
    attack(site, measured, visits, clients=18)
    visits.check()


HOSTILE = {
    "brackets": "[" * 200_000,
    "table": "| a | b |\n| --- | --- |\n" + "| x | y |\n" * 20_000,
    "emphasis": "*a_ " * 50_000,
}


@pytest.mark.promise("A6")
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_readmes(site, measured, kind):
    template = make_template(user=site.owner, organization=site.organization)
    names = []
    for number in range(VARIANTS):
        version = make_version(user=site.owner, organization=site.organization, template=template)
        TemplateVersion.objects.filter(pk=version.pk).update(readme=f"{number}\n\n{HOSTILE[kind]}")
        names.append(version.name)
    paths = [f"/templates/site/{template.name}/versions/{name}" for name in names]
    visits = Visits(site, site.new_token(f"reading-{kind}"), paths)
    attack(site, measured, visits, clients=17, seconds=6)
    visits.check()


@pytest.mark.promise("A6")
def test_long_descriptions_of_many_parameters(site, measured):
    template = make_template(user=site.owner, organization=site.organization)
    names = []
    for number in range(4):
        version = make_version(user=site.owner, organization=site.organization, template=template)
        RichParameter.objects.bulk_create(
            RichParameter(
                template_version=version,
                index=index,
                name=f"p{index}",
                type="string",
                description=f"{number}.{index} " + "[*a_" * 120,
            )
            for index in range(1_500)
        )
        names.append(version.name)
    paths = [f"/templates/site/{template.name}/versions/{name}/parameters" for name in names]
    visits = Visits(site, site.new_token("describing"), paths)
    attack(site, measured, visits, clients=17, seconds=6)
    visits.check()


DEEP = {
    "indexes": "locals { a = b" + "[0]" * 40_000 + " }\n",
    "objects": "locals { a = " + "{a=" * 16_000 + "1" + "}" * 16_000 + " }\n",
    "templates": 'locals { a = "' + "${[" * 12_000 + "1" + "]}" * 12_000 + '" }\n',
}


@pytest.mark.promise("A5")
@pytest.mark.parametrize("kind", DEEP)
def test_previews_of_nested_configuration(site, measured, kind):
    versions = [
        with_source(
            site,
            make_version(user=site.owner, organization=site.organization, finished=False),
            {"main.tf": f"# {number}\n{DEEP[kind]}"},
        )
        for number in range(VARIANTS)
    ]
    token = site.new_token(f"previewing-{kind}", "template-admin")
    visits = Visits(site, token, [f"/versions/{version.pk}" for version in versions])
    attack(site, measured, visits, clients=18, seconds=6)
    visits.check()


# ---------------------------------------------------------------------- uploads
def upload(site: Site, token: str, content: bytes) -> int:
    headers = {"Coder-Session-Token": token, "Content-Type": "application/x-tar"}
    return request(site, "POST", "/api/v2/files", headers, content)


def large_archive(megabytes: int, *, zeros: bool = False) -> bytes:
    """Return a tar with files of 10 MB; its content is random unless ``zeros``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(megabytes // 10):
            data = (bytes(10_000_000 - 16) if zeros else os.urandom(10_000_000 - 16)) + os.urandom(16)
            info = tarfile.TarInfo(f"f{number}.bin")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.promise("A15")
def test_five_large_uploads_at_once(site, measured):
    token = site.new_token("uploading", "template-admin")
    archives = iter([large_archive(90) for _ in range(5)])
    statuses = []

    def run(stop: threading.Event) -> None:
        statuses.append(upload(site, token, next(archives)))

    attack(site, measured, run, clients=5, seconds=1, until_done=90)
    measured.add(uploads=len(statuses))
    assert statuses == [201] * 5


@pytest.mark.promise("A14")
def test_compressed_uploads_at_once(site, measured):
    token = site.new_token("compressing", "template-admin")
    archives = iter([gzip.compress(large_archive(80, zeros=True), 1) for _ in range(12)])
    statuses = []

    def run(stop: threading.Event) -> None:
        statuses.append(upload(site, token, next(archives)))

    attack(site, measured, run, clients=12, seconds=1, until_done=90)
    measured.add(uploads=len(statuses))
    assert set(statuses) <= {201, 413, 429}
    assert 201 in statuses


def test_the_probe_notices_a_frozen_server(site):
    """A probe that measured nothing would find every promise kept."""
    with site.probed() as times:
        time.sleep(1)
        os.kill(site.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(site.pid, signal.SIGCONT)
        time.sleep(1)
    assert max(times) > 500
    assert len(times) >= 4
