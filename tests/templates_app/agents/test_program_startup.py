"""Scripts of the manifest as our own agent runs them: their environment, their place, their states."""

import os
import re
import signal

import pytest

from provisioning.engine.base import Agent, BuildResult, Resource
from tests.templates_app.agents.machines import SECONDS, SHELLS, Machine, path_without, shell, shown, wait_for
from tests.vocabulary import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LOG = "tmp/coder-startup-script.log"
# Bytes of a log, before the line that says that it ends.
LIMIT = 10 * 1024 * 1024
# Texts that a shell, printf, awk, JSON or the command line of a program could take for something else.
ODD = [
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "\\",
    "\\\\n\\0101\\c%s%%",
    "two\nlines\n",
    "tab\tand \x01 and \x7f",
    "é 😀 \u2028 中",
    "-rf *",
    "~",
    " spaces ",
    "",
    "100% & | > pwned",
    "\r\n",
]


@pytest.fixture
def fields():
    """The agent's fields. Tests override it."""
    return {}


@pytest.fixture
def built(token, fields):
    return BuildResult((Resource("dev", "vm", agents=(Agent(name="main", auth_token=token, **fields),)),))


@pytest.fixture(params=list(SHELLS))
def command(request):
    return shell(request.param)


@pytest.fixture
def machine(live_api, agent, token, tmp_path, command):
    return Machine(tmp_path, live_api.url, token, command=command)


def with_fields(**fields):
    return pytest.mark.parametrize("fields", [fields])


def result(machine, ada, agent, state="ready"):
    """Run the agent until its startup script has ended, and return what the script printed."""
    with machine.running():
        wait_for(ada, agent, lifecycle_state=state)
        assert machine.stop() == 0
    return machine.files().get(LOG, b"")


@with_fields(
    startup_script="env -0; pwd",
    environment={f"ODD_{number}": text for number, text in enumerate(ODD)},
)
def test_environment(machine, ada, agent, token, fields):
    """Odd texts arrive as they are, but for the names of variables, and nothing in them is run."""
    *variables, place = result(machine, ada, agent).split(b"\0")
    found = dict(one.decode().split("=", 1) for one in variables)
    assert {name: found[name] for name in fields["environment"]} == fields["environment"]
    assert found["CODER"] == "true"
    assert found["CODER_AGENT_TOKEN"] == token
    assert found["USER"]
    assert "LC_ALL" not in found
    assert not [name for name in found if name.startswith("_") and name != "_"]
    assert place.decode().strip() == str(machine.home)
    assert set(machine.files()) == {LOG}


@with_fields(
    startup_script='printf "%s\\n" "$A" "$B" "$C" "$D" "$PATH"; echo "${E-unset}"',
    environment={
        "A": "$HOME/x:${HOME}y",
        "B": "$A-is-not-there-yet and $ and ${} and ${A B} and $1 and $$",
        "C": "$GIVEN",
        "D": "${UNKNOWN}.",
        "PATH": "$PATH:/added",
        "not a name": "x",
        "1E": "x",
        "UID": "0",
        "PPID": "1",
        "IFS": "x",
    },
)
def test_variables_in_values(machine, ada, agent):
    """They are those of the agent's environment. Names that a shell cannot set are left out."""
    machine.environment["GIVEN"] = "$(touch pwned) '\" \\ $HOME"
    lines = result(machine, ada, agent).decode().splitlines()
    assert lines == [
        f"{machine.home}/x:{machine.home}y",
        "-is-not-there-yet and $ and ${} and ${A B} and $1 and $$",
        machine.environment["GIVEN"],
        ".",
        f"{os.environ['PATH']}:/added",
        "unset",
    ]
    assert set(machine.files()) == {LOG}


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"directory": "~/project"}, "home/project"),
        ({"directory": "$HOME/project"}, "home/project"),
        ({"directory": "~"}, "home"),
        ({"directory": "/nonexistent/$(touch pwned)"}, "home"),
        ({"directory": "-"}, "home"),
    ],
    ids=["tilde", "variable", "home", "missing", "dash"],
)
def test_directory(machine, ada, agent, fields, place):
    (machine.home / "project").mkdir()
    agent.startup_script = "pwd"
    agent.save()
    assert result(machine, ada, agent).decode() == f"{machine.folder / place}\n"


@with_fields(startup_script="#!/bin/sh\nread line || echo 'no input'\necho \"quote's\" \\\\ $((6 * 7))\necho error >&2")
def test_text_of_the_script(machine, ada, agent):
    """Its output goes to a log that only the user can read."""
    assert result(machine, ada, agent).decode().splitlines() == ["no input", "quote's \\ 42", "error"]
    assert (machine.folder / LOG).stat().st_mode & 0o777 == 0o600


@with_fields(startup_script=f": {'x' * 300_000}\necho done")
def test_a_script_that_is_longer_than_a_command_line(machine, ada, agent):
    assert result(machine, ada, agent) == b"done\n"


@with_fields(startup_script="sleep 300 & echo started")
def test_programs_that_go_on(machine, ada, agent):
    """A script that starts a program in the background has ended itself."""
    assert result(machine, ada, agent) == b"started\n"


@with_fields(startup_script="echo $TMPDIR; exit 3")
def test_a_script_that_fails(machine, ada, agent):
    """RAG-01."""
    assert result(machine, ada, agent, "start_error")
    assert "ended with status 3" in machine.said()


@with_fields(startup_script="until [ -e go ]; do sleep 0.1; done", startup_script_timeout_seconds=1)
def test_a_script_that_is_late(machine, ada, agent):
    """RAG-01: the timeout is reported, and then how it ends."""
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="start_timeout")
        (machine.home / "go").touch()
        wait_for(ada, agent, lifecycle_state="ready")


@with_fields(startup_script="until [ -e go ]; do sleep 0.1; done; exit 1", startup_script_timeout_seconds=1)
def test_a_late_script_that_fails(machine, ada, agent):
    with machine.running():
        wait_for(ada, agent, lifecycle_state="start_timeout")
        (machine.home / "go").touch()
        wait_for(ada, agent, lifecycle_state="start_error")


@with_fields(startup_script="sleep 1000", startup_script_timeout_seconds=300)
def test_stopping_ends_a_script_that_runs(machine, ada, agent):
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="starting")
        wait_until(lambda: "sleep 1000" in scripts(machine), SECONDS, "the script")
        assert machine.stop() == 0
        wait_until(lambda: not any("/dev/fd/3" in one for one in scripts(machine)), SECONDS, "the end of the script")


def scripts(machine):
    return [" ".join(command) for command in machine.processes().values()]


def test_without_a_script(machine, ada, agent):
    assert result(machine, ada, agent) == b""
    assert machine.files() == {}


@with_fields(startup_script="echo mine")
def test_a_link_in_the_place_of_the_log_is_not_followed(machine, ada, agent):
    target = machine.folder / "target"
    target.write_text("untouched")
    (machine.folder / LOG).symlink_to(target)
    assert result(machine, ada, agent) == b"mine\n"
    assert target.read_text() == "untouched"


@with_fields(startup_script="echo mine")
def test_a_folder_in_the_place_of_the_log(machine, ada, agent):
    (machine.folder / LOG).mkdir()
    assert result(machine, ada, agent) == b""
    assert "cannot be written" in machine.said()


@with_fields(
    startup_script="head -c 3000000 /dev/zero; for n in 1 2 3; do echo line; sleep 0.1; done;"
    " head -c 9000000 /dev/zero; echo more; echo done >finished"
)
def test_a_log_has_a_limit(machine, ada, agent):
    """It says so. The script prints on, and ends as if nothing had happened."""
    log = result(machine, ada, agent)
    assert (machine.home / "finished").read_text() == "done\n"
    kept, end = log[:-200], log[-200:]
    assert 3_000_000 < len(kept) <= LIMIT
    assert len(log) > LIMIT - 4096
    assert kept.startswith(bytes(3_000_000) + b"line\nline\nline\n")
    assert end.endswith(b"\ncoder agent: this log has reached its limit of 10485760 bytes; what follows is not kept\n")
    assert b"more" not in log


@with_fields(
    startup_script="(until [ -e go ]; do sleep 0.1; done; touch finished; echo later; exec sleep 300) & echo started"
)
def test_programs_that_go_on_print_to_the_log(machine, ada, agent):
    """Also after the agent has stopped."""
    with machine.running():
        wait_for(ada, agent, lifecycle_state="ready")
        assert machine.files()[LOG] == b"started\n"
        assert machine.stop() == 0
        (machine.home / "go").touch()
        wait_until(lambda: machine.files()[LOG] == b"started\nlater\n", SECONDS, "the rest of the log")
        assert "home/finished" in machine.files()
    assert not list(machine.temporary.glob("*.pipe"))


@with_fields(startup_script="echo mine")
def test_a_folder_without_pipes(machine, ada, agent):
    """The script runs, and the agent says what is lost."""
    machine.environment["PATH"] = path_without(machine.folder / "bin", instead={"mkfifo": "/bin/false"})
    if "busybox" in machine.command[0]:
        pytest.skip("this busybox runs its own mkfifo, whatever PATH says")
    assert result(machine, ada, agent) == b""
    assert "a pipe cannot be made" in machine.said()


@with_fields(startup_script="secret_of_the_script=1; sleep 2")
def test_the_text_is_not_in_a_command_line(machine, ada, agent):
    with machine.running():
        wait_until(lambda: any("sleep 2" in one for one in scripts(machine)), SECONDS)
        assert not re.search("secret_of_the_script", "\n".join(scripts(machine)))
    assert shown(ada, agent)["lifecycle_state"] == "starting"


# ---------------------------------------------------------------------- the shutdown script
SHUTDOWN_LOG = "tmp/coder-shutdown-script.log"


@with_fields(
    startup_script="echo up; sleep 1000",
    shutdown_script='echo "down $A in $(pwd)"',
    shutdown_script_timeout_seconds=300,
    environment={"A": "b"},
)
def test_shutdown_script(machine, ada, agent):
    """It runs when the startup script has ended, and before the connection does."""
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="starting")
        wait_until(lambda: "sleep 1000" in scripts(machine), SECONDS, "the startup script")
        assert machine.stop() == 0
        wait_for(ada, agent, status="disconnected", lifecycle_state="off")
    assert machine.files() == {LOG: b"up\n", SHUTDOWN_LOG: f"down b in {machine.home}\n".encode()}


@with_fields(shutdown_script="exit 4")
def test_a_shutdown_script_that_fails(machine, ada, agent):
    assert result(machine, ada, agent) == b""
    wait_for(ada, agent, status="disconnected", lifecycle_state="shutdown_error")
    assert "the shutdown script ended with status 4" in machine.said()


@with_fields(shutdown_script="until [ -e go ]; do sleep 0.1; done", shutdown_script_timeout_seconds=1)
def test_a_shutdown_script_that_is_late(machine, ada, agent):
    """The agent stays connected until it has ended."""
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready")
        machine.process.terminate()
        wait_for(ada, agent, status="connected", lifecycle_state="shutdown_timeout")
        (machine.home / "go").touch()
        assert machine.process.wait(SECONDS) == 0
        wait_for(ada, agent, status="disconnected", lifecycle_state="off")


@with_fields(shutdown_script="sleep 1000")
def test_a_second_signal_ends_the_agent_at_once(machine, ada, agent):
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready")
        machine.process.terminate()
        wait_until(lambda: "sleep 1000" in scripts(machine), SECONDS, "the shutdown script")
        # The signal has its default action until the script has a process that can be ended.
        assert machine.stop() in {0, -signal.SIGTERM}


@with_fields(shutdown_script="echo down")
def test_a_server_that_is_away_does_not_keep_the_machine(machine, ada, agent):
    with machine.running():
        wait_for(ada, agent, status="connected", lifecycle_state="ready")
    machine.environment["CODER_AGENT_URL"] = "http://127.0.0.1:1"
    with machine.running():
        wait_until(lambda: "does not answer" in machine.said(), SECONDS)
        assert machine.stop() == 0
    assert machine.files() == {}  # it never read the manifest
