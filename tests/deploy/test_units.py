"""The systemd units and the compose file start commands that exist, with settings that exist."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from provisioning.daemon import settings
from provisioning.engine.base import MAX_STATE

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "coderproj"}
SETTINGS = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE))


def options_of(arguments: list[str]) -> dict[str, object]:
    """Return the options that manage.py reads from a command line. Fails for one that it does not accept."""
    program, name, *rest = arguments
    assert program == "manage.py"
    return vars(load_command_class(get_commands()[name], name).create_parser(program, name).parse_args(rest))


def entries(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def test_each_part_has_one_service() -> None:
    commands = {name: service["command"][1] for name, service in OURS.items()}
    assert commands == {"server": "up", "worker": "worker", "daemon": "provisionerd", "relay": "relay"}
    server = options_of(OURS["server"]["command"])
    assert (server["no_worker"], server["no_daemon"], server["no_relay"], server["port"]) == (True, True, True, 3000)
    assert {name: service["profiles"] for name, service in OURS.items() if "profiles" in service} == {
        "relay": ["relay"]
    }
    for service in OURS.values():
        assert options_of(service["command"])


def test_services_share_the_database_and_the_secret_key() -> None:
    """With keys of their own, worker and daemon could not decrypt what the server has encrypted."""
    for service in OURS.values():
        assert service["environment"] == OURS["server"]["environment"]
        assert service["volumes"] == ["coderproj:/data"]
        assert set(service["environment"]) - SETTINGS == set()


def test_only_server_and_relay_are_open_and_nothing_starts_before_the_migrations() -> None:
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["server", "relay"]
    assert OURS["relay"]["ports"] == [f"127.0.0.1:{options_of(OURS['relay']['command'])['port']}:3479"]
    for name in ("worker", "daemon", "relay"):
        assert OURS[name]["depends_on"] == {"server": {"condition": "service_healthy"}}


def test_units_are_for_the_worker_the_relay_and_for_daemons() -> None:
    assert [unit.stem for unit in UNITS] == ["coderproj-provisionerd", "coderproj-relay", "coderproj-worker"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_start_what_exists(unit: Path) -> None:
    [line] = entries(unit, "ExecStart")
    python, *arguments = shlex.split(line)
    assert python == "/opt/coderproj/.venv/bin/python"
    if arguments[0] == "-m":
        assert (ROOT / arguments[1].replace(".", "/") / "__main__.py").is_file()
    else:
        assert options_of(arguments)
    assert {entry.partition("=")[0] for entry in entries(unit, "Environment")} - SETTINGS == {"PYTHONDONTWRITEBYTECODE"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_grant_no_privileges(unit: Path) -> None:
    for name, value in (("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("RestrictSUIDSGID", "yes")):
        assert entries(unit, name) == [value]
    assert entries(unit, "CapabilityBoundingSet") == [""]
    assert entries(unit, "DynamicUser") == ["yes"] or entries(unit, "User") not in ([], ["root"])


# ---------------------------------------------------------------------- what survives a daemon
DAEMON = ROOT / "deploy" / "systemd" / "coderproj-provisionerd.service"
STOP_SECONDS = (
    settings.PROVISIONER_JOB_SECONDS
    + settings.PROVISIONER_APPLY_GRACE_SECONDS
    + settings.PROVISIONER_CANCEL_GRACE_SECONDS
)


def test_builds_and_their_states_outlive_the_daemon_of_the_unit() -> None:
    """Options that imply others that remove states are absent, too."""
    assert entries(DAEMON, "KillMode") == ["process"]
    assert entries(DAEMON, "RemoveIPC") == ["no"]
    assert entries(DAEMON, "DynamicUser") == entries(DAEMON, "PrivateTmp") == []
    [bound] = entries(DAEMON, "BindPaths")
    source, target = bound.split(":")
    [folders] = entries(DAEMON, "CacheDirectory")
    assert (source.removeprefix("/var/cache/") in folders.split(), target) == (True, "/tmp")


def test_the_account_of_the_unit_is_a_system_account_that_its_comment_creates() -> None:
    [account] = entries(DAEMON, "User")
    [command] = re.findall(r"^#   (useradd .*)$", DAEMON.read_text(), re.MULTILINE)
    assert "--system" in command.split()
    assert command.split()[-1] == account


def test_a_stop_waits_for_builds_that_are_interrupted() -> None:
    [unit_seconds] = entries(DAEMON, "TimeoutStopSec")
    minutes = OURS["daemon"]["stop_grace_period"].removesuffix("m")
    operating = (ROOT / "docs" / "operating.md").read_text()
    documented = [int(seconds) for seconds in re.findall(r"--stop-timeout (\d+)", operating)]
    assert len(documented) == 2
    assert min(int(unit_seconds), int(minutes) * 60, *documented) > STOP_SECONDS


def test_containers_have_memory_for_states() -> None:
    megabytes = OURS["daemon"]["shm_size"].removesuffix("m")
    operating = (ROOT / "docs" / "operating.md").read_text()
    documented = [int(size) for size in re.findall(r"docker run -d[^`]*?--shm-size (\d+)m", operating)]
    assert len(documented) == 2
    assert min(int(megabytes), *documented) * 1024**2 > 4 * MAX_STATE  # what make_state_folder needs


# Images of containers have no systemd; the other tests of units need none.
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    copied = tmp_path / unit.name
    copied.write_text(unit.read_text().replace("/opt/coderproj/.venv/bin/python", "/bin/true"))
    found = subprocess.run(["systemd-analyze", "verify", copied], capture_output=True, text=True, check=False)
    assert unit.name not in found.stderr, found.stderr
