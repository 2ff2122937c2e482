"""Typed readers of environment variables."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from coderproj import env
from provisioning.engine import allowed_hosts


def test_value_from_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("from file\n")
    monkeypatch.setenv("X_FILE", str(tmp_path / "secret"))
    assert env.text("X") == "from file"
    monkeypatch.setenv("X", "direct")
    assert env.text("X") == "direct"
    monkeypatch.delenv("X")
    monkeypatch.setenv("X_FILE", str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="X_FILE"):
        env.text("X")


@pytest.mark.parametrize(
    ("read", "bad"),
    [
        (lambda: env.integer("X", 1), "one"),
        (lambda: env.integer("X", 1, minimum=5), "4"),
        (lambda: env.boolean("X", False), "maybe"),
        (lambda: env.choice("X", "a", ("a", "b")), "c"),
        (lambda: env.networks("X"), "10.0.0.1, proxy"),
        (lambda: env.database("X"), "mysql://u@h/d"),
        (lambda: env.database("X"), "postgresql://u@h:port/d"),
    ],
)
def test_invalid_value_names_the_variable(monkeypatch, read, bad):
    monkeypatch.setenv("X", bad)
    with pytest.raises(ImproperlyConfigured, match="X: "):
        read()


def test_valid_values(monkeypatch):
    monkeypatch.setenv("X", " Yes ")
    assert env.boolean("X", False) is True
    monkeypatch.setenv("X", "a, b,,c ")
    assert env.words("X") == ["a", "b", "c"]
    monkeypatch.setenv("X", "192.0.2.1, 10.1.2.3/8, ::1")
    assert [str(network) for network in env.networks("X")] == ["192.0.2.1/32", "10.0.0.0/8", "::1/128"]
    monkeypatch.setenv("X", "7")
    assert env.integer("X", 1) == 7


def test_database_url_with_socket_folder_and_options(monkeypatch):
    monkeypatch.setenv("X", "postgresql://app:p%40ss@/data?host=/run/postgresql&sslmode=disable&port=5433")
    database = env.database("X")
    assert (database["NAME"], database["USER"], database["PASSWORD"]) == ("data", "app", "p@ss")
    assert (database["HOST"], database["PORT"]) == ("/run/postgresql", "5433")
    assert database["OPTIONS"] == {"sslmode": "disable"}


def test_cpus(monkeypatch):
    assert env.cpus("X") == frozenset()
    monkeypatch.setenv("X", " 1,3,")
    assert env.cpus("X") == {1, 3}
    monkeypatch.setenv("X", "1,x")
    with pytest.raises(ImproperlyConfigured, match="X: expected CPU numbers"):
        env.cpus("X")


def test_checked_lists_and_paths_name_the_setting(monkeypatch):
    monkeypatch.setenv("PROVISIONER_PLAN_HOSTS", "api.example.com, http://x")
    with pytest.raises(ImproperlyConfigured, match="PROVISIONER_PLAN_HOSTS: 'http://x' is not a host name"):
        env.words("PROVISIONER_PLAN_HOSTS", check=allowed_hosts.parse)
    monkeypatch.setenv("PROVISIONER_PLAN_HOSTS", "api.example.com, *.example.org")
    assert env.words("PROVISIONER_PLAN_HOSTS", check=allowed_hosts.parse) == ["api.example.com", "*.example.org"]
    monkeypatch.setenv("PROVISIONER_SOCKETS", "/run/a.sock, /run/b.sock")
    assert env.paths("PROVISIONER_SOCKETS") == [Path("/run/a.sock"), Path("/run/b.sock")]
    monkeypatch.setenv("PROVISIONER_SOCKETS", "a.sock")
    with pytest.raises(ImproperlyConfigured, match=r"PROVISIONER_SOCKETS: expected absolute paths, got 'a\.sock'"):
        env.paths("PROVISIONER_SOCKETS")
