"""``manage.py simulate`` on the tests' server, in temporary databases."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.core.management.base import CommandError
from django.db import connection

from provisioning.models import ProvisionerJob
from provisioning.simulation import simulate
from provisioning.simulation.rounds import Latency
from provisioning.simulation.scratch import PREFIX, scratch_database
from tests.commands import run, run_json
from tests.factories import make_job

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url() -> str:
    """The DATABASE_URL of the tests' server."""
    if "DATABASE_URL" not in os.environ:
        pytest.skip("needs DATABASE_URL")
    return os.environ["DATABASE_URL"]


def scratch_databases(url: str) -> list[str]:
    with psycopg.connect(url) as server:
        rows = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        return [name for (name,) in rows.fetchall()]


def test_every_round_claims_all_jobs_and_touches_no_real_job(db, url):
    waiting = make_job()
    before = scratch_databases(url)
    rounds = run_json("simulate", "--daemons", "1,3", "--jobs", 12, "--processes", 2)
    assert [(one["daemons"], one["processes"], one["connections"], one["jobs"]) for one in rounds] == [
        (1, 1, 1, 12),
        (3, 2, 3, 12),
    ]
    for one in rounds:
        assert one["jobs_per_second"] > 0
        for name in ("claim", "complete", "miss"):
            assert 0 < one[name]["p50"] <= one[name]["p95"] <= one[name]["p99"]
    waiting.refresh_from_db()
    assert waiting.started_at is None, "a real job was touched"
    assert ProvisionerJob.objects.count() == 1
    assert scratch_databases(url) == before


def test_text_output_is_a_table(db, url):
    heading, row = run("simulate", "--daemons", "2", "--jobs", 4).splitlines()
    assert heading.split()[:2] == ["daemons", "connections"]
    assert row.split()[:2] == ["2", "2"]


@pytest.mark.parametrize(
    "arguments",
    [["--daemons", "0"], ["--daemons", "1,many"], ["--daemons", "201"], ["--jobs", "0"], ["--processes", "-1"]],
)
def test_numbers_out_of_range_are_rejected(arguments):
    with pytest.raises(CommandError, match="is not a number from 1 to"):
        run("simulate", *arguments)


def test_an_unreachable_server_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app@/none?host={tmp_path}")
    with pytest.raises(CommandError, match="cannot use a database for the simulation") as error:
        run("simulate", "--daemons", "1", "--jobs", 1)
    assert error.value.returncode == 1


def test_the_conductor_rejects_other_databases(transactional_db, url):
    job = make_job()
    test_database = url.replace(url.partition("?")[0].rpartition("/")[2], connection.settings_dict["NAME"], 1)
    done = subprocess.run(
        [sys.executable, "-m", "provisioning.simulation.conductor"],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": test_database},
        input=b'{"daemons":[1],"jobs":1,"processes":1,"connections":1}\n',
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"does not name a simulation database" in done.stderr
    assert done.stdout == b""
    job.refresh_from_db()
    assert job.started_at is None


def test_the_database_is_dropped_when_the_caller_stops_early(db, url):
    before = scratch_databases(url)
    rounds = simulate(url, daemons=[1, 1, 1], jobs=3, processes=1)
    assert next(rounds).jobs == 3
    rounds.close()
    assert scratch_databases(url) == before


def test_a_leftover_database_is_removed_after_a_day(url):
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{PREFIX}1700000000_abcdef12"')
    with scratch_database(url) as scratch:
        assert f"{PREFIX}1700000000_abcdef12" not in scratch_databases(url)
        name = scratch.partition("?")[0].rpartition("/")[2]
        assert name in scratch_databases(url)
    assert name not in scratch_databases(url)


def test_percentiles_of_one_and_of_many():
    assert Latency.of([0.002]) == Latency(2.0, 2.0, 2.0)
    assert Latency.of([number / 1000 for number in range(100)]) == Latency(50.0, 95.0, 99.0)
