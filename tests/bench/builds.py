"""A start build of the starter ``hello``, from the POST until the workspace runs, beside the same work by hand.

By hand means ``terraform init``, ``plan`` and ``apply`` with the same Terraform and the product's provider, served by
this process; this favours the work by hand, which would start a provider. ``python -m tests.bench.builds`` prints the
figures as JSON.
"""

import json
import os
import secrets
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioning.engine.base import Transition, WorkspaceContext
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.server import CODER_ADDRESSES, reattach_config, serve
from tests.bench.main_job import SETTLE_SECONDS
from tests.bench.reference import reference_program

if TYPE_CHECKING:
    from coderproj.demo.api import Api

STARTER = "hello"
RUNS = 7


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="coderproj-bench-") as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101 - the database's account must pass through
        os.environ["CODERPROJ_DATA_DIR"] = folder
        os.environ.pop("DATABASE_URL", None)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
        import django

        django.setup()
        os.environ["LOG_LEVEL"] = "debug"  # the server's daemon logs the time of each step
        print(json.dumps(measure()))


def measure() -> dict[str, Any]:
    """Return the medians in seconds: ``start`` from the POST to running, ``stop``, ``delete``, ``by_hand``; and
    ``spent_ms`` of a start by step."""
    from coderproj.demo.server import OwnServer
    from coderproj.management.commands.demo import owner_token
    from templates_app import starters

    server = OwnServer()
    server.start()
    times: dict[str, list[float]] = {"start": [], "stop": [], "delete": []}
    by_hand: list[float] = []
    try:
        from coderproj.demo.api import Api

        api = Api(server.url, owner_token())
        template = make_template(api, starters.archive(STARTER))
        for run in range(RUNS + 1):
            for transition, seconds in life(api, template).items():
                if run:
                    times[transition].append(seconds)
            by_hand.append(run_by_hand(starters.FOLDER / STARTER))
    finally:
        server.stop()
    found: dict[str, Any] = {name: statistics.median(one) for name, one in times.items()}
    found["fastest"] = min(times["start"])
    found["by_hand"] = statistics.median(by_hand[1:])
    # The import comes first, then a start, a stop and a delete in each run, of which the first does not count.
    starts = spent_by_job(server.log)[4::3]
    found["spent_ms"] = {name: statistics.median(one[name] for one in starts) for name in starts[0]}
    return found


def spent_by_job(log: Path) -> list[dict[str, float]]:
    """Return the milliseconds of each step of each job from the daemon's lines in the server's log."""
    lines = [line.partition(": spent ms: ")[2] for line in log.read_text(errors="replace").splitlines()]
    parts = [[part.partition("=") for part in line.split()] for line in lines if line]
    return [{name: float(value) for name, _, value in one} for one in parts]


def make_template(api: "Api", archive: bytes) -> dict[str, Any]:
    """Import the starter and make it a template."""
    organization = api.call("GET", "users/me/organizations")[0]["id"]
    body = {"file_id": api.upload(archive)}
    version = api.call("POST", f"organizations/{organization}/templateversions", body)
    for _ in api.follow(f"templateversions/{version['id']}/logs"):
        pass
    body = {"name": STARTER, "template_version_id": version["id"]}
    made: dict[str, Any] = api.call("POST", f"organizations/{organization}/templates", body)
    return made


def life(api: "Api", template: dict[str, Any]) -> dict[str, float]:
    """Start, stop and delete a new workspace; return the seconds of each build."""
    owner = api.call("GET", "users/me")["id"]
    path = f"organizations/{template['organization_id']}/members/{owner}/workspaces"
    body: dict[str, Any] = {"name": f"w-{secrets.token_hex(4)}", "template_id": template["id"]}
    times = {}
    for transition, status in (("start", "running"), ("stop", "stopped"), ("delete", "deleted")):
        time.sleep(SETTLE_SECONDS)
        began = time.perf_counter()
        made = api.call("POST", path, body)
        build = made.get("latest_build", made)
        for _ in api.follow(f"workspacebuilds/{build['id']}/logs"):
            pass
        times[transition] = time.perf_counter() - began
        found = api.call("GET", f"workspacebuilds/{build['id']}")
        if found["status"] != status:
            raise AssertionError(found["job"])
        if transition == "start":
            path = f"workspaces/{made['id']}/builds"
        body = {"transition": "stop" if transition == "start" else "delete"}
    return times


def run_by_hand(template: Path) -> float:
    """Return the seconds of ``init``, ``plan`` and ``apply`` in a copy of the template."""
    program = reference_program()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        directory, socket = Path(folder) / "template", Path(folder) / "coder.sock"
        shutil.copytree(template, directory)
        environment = {
            "PATH": os.defpath,
            "HOME": folder,
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_REATTACH_PROVIDERS": reattach_config(dict.fromkeys(CODER_ADDRESSES, socket)),
        }
        with serve(CoderProvider(WorkspaceContext(transition=Transition.START)), socket):
            began = time.perf_counter()
            for arguments in (
                ("init", "-no-color", "-input=false"),
                ("plan", "-no-color", "-input=false", "-out=tfplan"),
                ("apply", "-no-color", "-input=false", "tfplan"),
            ):
                subprocess.run(
                    (*program.command, *arguments), cwd=directory, env=environment, capture_output=True, check=True
                )
            return time.perf_counter() - began


if __name__ == "__main__":
    main()
