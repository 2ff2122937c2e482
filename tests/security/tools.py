"""Promises that another program counts: deployment check, linter, audit, migrations, dump and restore. Only
``make security`` runs them."""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from coderproj.identity import tokens
from tests.routes import api_routes
from tests.security.site import served
from tests.vocabulary import database_url
from tests.world import make_world

pytestmark = pytest.mark.slow

ROOT = Path(settings.BASE_DIR)
APPS = ("templates_app", "provisioning", "identity")  # each before those that it needs


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


# ---------------------------------------------------------------------- checks
@pytest.mark.promise("S16")
def test_the_deployment_check_passes(measured):
    ran = run(
        *(sys.executable, "-W", "ignore", "manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        CODERPROJ_DEBUG="false",
        CODERPROJ_ACCESS_URL="https://coderproj.example.com",
        CODERPROJ_SECRET_KEY="0123456789" * 7 + "abcdefghijklmnopqrstuvwxyz",
    )
    measured.add(warnings=len(re.findall(r"\(\w+(?:\.\w+)*\.[WE]\d+\)", ran.stderr)))
    assert ran.returncode == 0, ran.stderr


@pytest.mark.promise("S17")
def test_the_linters_security_rules_find_nothing(measured):
    """One of them is S308, mark_safe. No body is spread into a call."""
    ran = run(sys.executable, "-m", "ruff", "check", "--output-format", "json", "--no-cache")
    found = [finding for finding in json.loads(ran.stdout) if finding["code"].startswith("S")]
    sources = [path for folder in ("coderproj", "provisioning", "templates_app") for path in Path(folder).rglob("*.py")]
    lines = [line for path in sources for line in path.read_text().splitlines()]
    spread = [line for line in lines if re.search(r"\(\*\*request\.(data|POST)", line)]
    measured.add(findings=len(found) + len(spread))
    assert (found, spread) == ([], [])


@pytest.mark.promise("A17")
def test_every_locked_package_is_audited(measured):
    """Needs the network. A package that could not be looked up is not audited, whatever the exit status says."""
    locks = [ROOT / "requirements.lock", *sorted((ROOT / "deploy" / "locks").glob("*.lock"))]
    options = ("--format", "json", "--progress-spinner", "off", "--require-hashes", "--disable-pip")
    ran = run(sys.executable, "-m", "pip_audit", *options, *(part for lock in locks for part in ("-r", str(lock))))
    assert ran.stdout, ran.stderr[-2000:]
    found = json.loads(ran.stdout)["dependencies"]
    skipped = [package["name"] for package in found if "skip_reason" in package]
    vulnerable = [package["name"] for package in found if package.get("vulns")]
    measured.add(packages=len(found), not_audited=len(skipped), vulnerable=len(vulnerable))
    assert (skipped, vulnerable) == ([], [])


# ---------------------------------------------------------------------- databases
@contextmanager
def new_database(name: str):
    """Create an empty database beside the test's. Yield its URL."""
    url = database_url("promises")
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
    try:
        yield url.replace(f"@/{connection.settings_dict['NAME']}?", f"@/{name}?")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def manage(url: str, *arguments: str) -> None:
    ran = run(sys.executable, "-W", "ignore", "manage.py", *arguments, DATABASE_URL=url)
    assert ran.returncode == 0, ran.stderr[-3000:]


def dump_into(url: str) -> None:
    """Copy the test's database with PostgreSQL's own programs."""
    if not (shutil.which("pg_dump") and shutil.which("psql")):
        pytest.skip("pg_dump and psql are not on PATH")
    dumped = run("pg_dump", "--no-owner", "--no-privileges", plain(database_url("dump")))
    assert dumped.returncode == 0, dumped.stderr
    restored = subprocess.run(
        ("psql", "-q", "-v", "ON_ERROR_STOP=1", plain(url)),
        input=dumped.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr


def plain(url: str) -> str:
    """Return the URL for PostgreSQL's programs."""
    return url.replace("&application_name=promises", "")


def rows_of(url: str) -> dict[str, int]:
    """Return the number of rows of every table but Django's own records of migrations."""
    with psycopg.connect(plain(url)) as reader:
        names = reader.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: reader.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in names
            if name != "django_migrations"
        }


@pytest.mark.promise("R8")
@pytest.mark.django_db(transaction=True)
def test_migrations_of_an_empty_database_run_back_and_forth(measured):
    with new_database("promises_empty") as url:
        manage(url, "migrate", "--verbosity", "0")
        before = rows_of(url)
        for app in APPS:
            manage(url, "migrate", app, "zero", "--verbosity", "0")
        manage(url, "migrate", "--verbosity", "0")
        after = rows_of(url)
    missing = set(before) - set(after)
    measured.add(databases=1, missing=len(missing))
    assert missing == set()


@pytest.mark.promise("R8")
@pytest.mark.django_db(transaction=True)
def test_migrations_of_a_filled_database_run_back_and_forth(measured):
    """Each app goes back by its last migration. The tables of an app above go with what they refer to."""
    make_world(3)
    with new_database("promises_filled") as url:
        dump_into(url)
        before = rows_of(url)
        for app in APPS:
            names = sorted(path.stem for path in next(ROOT.glob(f"**/{app}/migrations")).glob("0*.py"))
            manage(url, "migrate", app, names[-2], "--verbosity", "0")
        kept = rows_of(url)
        manage(url, "migrate", "--verbosity", "0")
        after = rows_of(url)
    missing = {name: (before[name], after.get(name)) for name in before if after.get(name) != before[name]}
    missing = {name: counts for name, counts in missing.items() if name in kept or name not in after}
    assert sum(kept.values()) > 100
    measured.add(databases=1, missing=len(missing))
    assert missing == {}


@pytest.mark.promise("R9")
@pytest.mark.django_db(transaction=True)
def test_a_restored_dump_gives_the_same_answers(measured, tmp_path):
    world = make_world(3)
    _, token = tokens.issue(user=world.owner)
    paths = []
    for route in api_routes():
        if "GET" in route.methods and route.pattern:
            try:
                paths.append(world.path(route.pattern))
            except KeyError:
                continue
    # What changes by reading, or with time.
    paths = [path for path in paths if not re.search(r"keys|gitsshkey|audit|users/me$|insights|debug|follow", path)]
    with new_database("promises_restored") as url:
        dump_into(url)
        found = []
        for one in (database_url("web"), url):
            with served(tmp_path, one) as (address, _):
                found.append({path: read(address, f"/api/v2/{path}", token) for path in paths})
    different = [path for path in paths if found[0][path] != found[1][path]]
    useful = sum(status == 200 for status, _ in found[0].values())
    measured.add(answers=useful, differences=len(different))
    assert different == []


def read(address: str, path: str, token: str) -> tuple[int, str]:
    """Return status and body of a read, without times of last use; of a stream of events the first data."""
    client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    client.request("GET", path, headers={"Coder-Session-Token": token})
    response = client.getresponse()
    if response.headers.get_content_type() == "text/event-stream":
        body = next(line for line in response if line.startswith(b"data: ")).decode()
    else:
        body = response.read().decode(errors="replace")
    client.close()
    return response.status, re.sub(r'"last_(?:seen_at|used)":"[^"]*"', "", body)
