"""Templates that real platform teams push, against a running server: ``python -m tests.cases [FOLDER]``.

Pushes each folder of ``FOLDER`` (default: ``tests/data/cases``) to a new server and prints
``case · expected · got``. Folders without an entry in CASES must import.
"""

import argparse
import io
import json
import secrets
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.coderproj.up_process import lines_until, running

DATA = Path(__file__).parent / "data" / "cases"
IMPORT_SECONDS = 120.0
# Seconds that unreachable providers may add to an import.
PROVIDERS_SECONDS = 0.3


class Api:
    """The API of the server, as its administrator."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.url = f"{url}/api/v2/"
        self.token = ""
        self.token = self.call("POST", "users/login", {"email": email, "password": password})[1]["session_token"]
        (self.organization,) = self.get("users/me")["organization_ids"]

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
        """Return status and JSON of a response."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type, **({"Coder-Session-Token": self.token} if self.token else {})}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def get(self, path: str) -> Any:
        status, answer = self.call("GET", path)
        assert status == 200, answer
        return answer

    def push(self, folder: Path, **fields: Any) -> dict[str, Any]:
        """Upload a folder and import it. Return the version, or the response of what was refused."""
        status, file = self.call("POST", "files", tar_of(folder), "application/x-tar")
        if status not in (200, 201):
            return {"refused": file}
        body = {"storage_method": "file", "provisioner": "terraform", "file_id": file["hash"], **fields}
        status, version = self.call("POST", f"organizations/{self.organization}/templateversions", body)
        if status != 201:
            return {"refused": version}
        deadline = time.monotonic() + IMPORT_SECONDS
        while version["job"]["status"] in ("pending", "running") and time.monotonic() < deadline:
            time.sleep(0.05)
            version = self.get(f"templateversions/{version['id']}")
        return version

    def log(self, version: dict[str, Any]) -> str:
        return "\n".join(line["output"] for line in self.get(f"templateversions/{version['id']}/logs"))

    def resources(self, version: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the resources of a version's start."""
        found = self.get(f"templateversions/{version['id']}/resources")
        return [one for one in found if one["workspace_transition"] == "start"]


def tar_of(folder: Path) -> bytes:
    """Return the folder as a tar, with links as links."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        tar.add(folder, ".")
    return sink.getvalue()


def outcome(version: dict[str, Any]) -> str:
    """Return how an import ended, with its error."""
    if "refused" in version:
        return f"refused: {version['refused']['message']}"
    job = version["job"]
    return job["status"] if job["status"] == "succeeded" else f"{job['status']}: {job.get('error', '')[:160]}"


# ---------------------------------------------------------------------- what is right
Result = tuple[bool, str]


def imports(api: Api, folder: Path) -> Result:
    """imports"""
    got = outcome(api.push(folder))
    return got == "succeeded", got


def three_apps(api: Api, folder: Path) -> Result:
    """three apps"""
    version = api.push(folder)
    if outcome(version) != "succeeded":
        return False, outcome(version)
    apps = [
        app["slug"]
        for resource in api.resources(version)
        for agent in resource.get("agents") or []
        for app in agent["apps"]
    ]
    return sorted(apps) == ["one", "three", "two"], f"apps {', '.join(apps)}"


def names_the_line(api: Api, folder: Path) -> Result:
    """the error names main.tf:18 and the argument"""
    got = outcome(api.push(folder))
    return "ignore_change" in got and "main.tf:18" in got, got


def no_slower(api: Api, folder: Path) -> Result:
    """imports, at most 0.3 s slower than without providers"""
    with tempfile.TemporaryDirectory() as name:
        plain = Path(name)
        text = (folder / "main.tf").read_text()
        lines = [line for line in text.splitlines() if "hashicorp/" not in line]
        (plain / "main.tf").write_text("\n".join(lines))
        times: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(5):
            for key, source in (("without", plain), ("with", folder)):
                began = time.monotonic()
                got = outcome(api.push(source))
                times[key].append(time.monotonic() - began)
                if got != "succeeded":
                    return False, got
                time.sleep(1)  # the daemon prepares its next process
    more = min(times["with"]) - min(times["without"])
    return more <= PROVIDERS_SECONDS, f"{more:+.2f} s"


def optional_null(api: Api, folder: Path) -> Result:
    """imports without a value, and the variable is optional"""
    version = api.push(folder)
    if outcome(version) != "succeeded":
        return False, outcome(version)
    (variable,) = (one for one in api.get(f"templateversions/{version['id']}/schema") if one["name"] == "proxy")
    return True, f"succeeded, default {variable['default_source_value']!r}"


def not_promoted(api: Api, folder: Path) -> Result:
    """neither promotion nor a template of the failed version, with 400 that names the state"""
    good = api.push(folder / "good")
    name = f"t{secrets.token_hex(4)}"
    path = f"organizations/{api.organization}/templates"
    status, template = api.call("POST", path, {"name": name, "template_version_id": good["id"]})
    assert status == 201, template
    bad = api.push(folder / "bad", template_id=template["id"])
    promoted = api.call("PATCH", f"templates/{template['id']}/versions", {"id": bad["id"]})
    alone = api.push(folder / "bad")
    made = api.call("POST", path, {"name": f"u{secrets.token_hex(4)}", "template_version_id": alone["id"]})
    texts = [f"{status} {json.dumps(answer)[:120]}" for status, answer in (promoted, made)]
    right = all(status == 400 and "fail" in json.dumps(answer) for status, answer in (promoted, made))
    return right, "; ".join(texts)


def link_left_out(api: Api, folder: Path) -> Result:
    """imports; the log names the link, or it is followed"""
    with tempfile.TemporaryDirectory() as name:
        template = Path(name)
        (template / "main.tf").write_bytes((folder / "main.tf").read_bytes())
        (template / "docs").mkdir()
        (template / "docs" / "README.md").write_text("# hello")
        (template / "README.md").symlink_to("docs/README.md")
        version = api.push(template)
        if outcome(version) != "succeeded":
            return False, outcome(version)
        told = "README.md" in api.log(version)
        followed = "hello" in api.get(f"templateversions/{version['id']}")["readme"]
        return told or followed, f"succeeded, {'told' if told else ''} {'followed' if followed else ''}"


def variable_files(api: Api, folder: Path) -> Result:
    """region = eu, size = large"""
    version = api.push(folder)
    if outcome(version) != "succeeded":
        return False, outcome(version)
    items = {
        item["key"]: item["value"] for resource in api.resources(version) for item in resource.get("metadata") or []
    }
    schema = {one["name"]: one for one in api.get(f"templateversions/{version['id']}/schema")}
    return items.get("size") == "large", f"size = {items.get('size')}, {sorted(schema)}"


def whole_type(api: Api, folder: Path) -> Result:
    """imports, and the type is shown"""
    version = api.push(folder)
    if outcome(version) != "succeeded":
        return False, outcome(version)
    schema = api.get(f"templateversions/{version['id']}/schema")
    (variable,) = (one for one in schema if one["name"] == "host_params")
    return "optional" in json.dumps(variable), f"succeeded, {json.dumps(variable)[:120]}"


def names_accepted(api: Api, folder: Path) -> Result:
    """v1.0.0, ci_146_ed7719c and snug_hopper6 are accepted"""
    version = api.push(folder)
    path = f"templateversions/{version['id']}"
    got = [api.call("PATCH", path, {"name": name})[0] for name in ("v1.0.0", "ci_146_ed7719c", "snug_hopper6")]
    return got == [200, 200, 200], f"{got}"


CASES: dict[str, Callable[[Api, Path], Result]] = {
    "for-each-apps": three_apps,
    "init-error-swallowed": names_the_line,
    "many-providers": no_slower,
    "null-default-variable": optional_null,
    "promote-failed-version": not_promoted,
    "symlink-in-archive": link_left_out,
    "tfvars": variable_files,
    "variable-type-long": whole_type,
    "version-names": names_accepted,
}


def main() -> int:
    """Print a line for each case. Return 1 if one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    folder: Path = parser.parse_args().folder
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="coderproj-up-") as data:
        Path(data).chmod(0o711)
        email, password = "cases@example.com", secrets.token_urlsafe(12)
        variables = {"CODERPROJ_ADMIN_EMAIL": email, "CODERPROJ_ADMIN_PASSWORD": password, "RATELIMIT_UPLOADS": "0"}
        with running(Path(data), **variables) as (url, process):
            lines_until(process, "Ready")
            api = Api(url, email, password)
            for case in sorted(path for path in folder.iterdir() if path.is_dir()):
                check = CASES.get(case.name, imports)
                try:
                    right, got = check(api, case)
                except Exception as error:  # noqa: BLE001 - the other cases are pushed all the same
                    right, got = False, f"{type(error).__name__}: {error}"
                wrong += not right
                print(f"{'right' if right else 'WRONG'}  {case.name} · {check.__doc__} · {got}", flush=True)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
