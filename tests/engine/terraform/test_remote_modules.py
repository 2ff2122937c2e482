"""Modules from outside the template: fetched if allowed and possible, otherwise replaced by stubs."""

import base64
import io
import os
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event

import pytest

from provisioning.engine.base import EngineError, ImportResult, LogLevel, PlanInput, Stage
from provisioning.engine.terraform import EngineSettings, TerraformEngine
from provisioning.engine.terraform.module_fetcher import ModuleFetcher

from .recording import Recorder, template

pytestmark = pytest.mark.terraform

CODER = 'terraform {\n  required_providers {\n    coder = { source = "coder/coder" }\n  }\n}\n'
AGENT = 'resource "coder_agent" "main" {\n  os   = "linux"\n  arch = "amd64"\n}\n'
STUBS = EngineSettings(network=False)
FETCHING = EngineSettings(remote_modules=True, registries=(), install_seconds=20)
REAL_MODULE = (
    'variable "user_data" {}\n'
    'resource "terraform_data" "machine" {\n  input = var.user_data\n}\n'
    'module "inner" {\n  source = "./inner"\n}\n'
    'output "ids" {\n  value = [terraform_data.machine.id]\n}\n'
)


def plan(settings: EngineSettings, root: Path, log: Recorder | None = None) -> ImportResult:
    return TerraformEngine(settings).plan_import(root, PlanInput(), log=log or Recorder(), stop=Event())


class ModuleServer(ThreadingHTTPServer):
    """Serves archives of modules by path on loopback, and records the requested paths."""

    def __init__(self, modules: dict[str, dict[str, str]]) -> None:
        self.archives = {path: _archive(files) for path, files in modules.items()}
        self.requested: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: ModuleServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requested.append(path)
        content = self.server.archives.get(path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    do_HEAD = do_GET  # noqa: N815 (the name is defined by the base class)

    def log_message(self, *_arguments: object) -> None:
        pass


def _archive(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.fixture
def module_server() -> Iterator[ModuleServer]:
    server = ModuleServer(
        {"/vm.zip": {"main.tf": REAL_MODULE, "inner/main.tf": 'resource "terraform_data" "disk" {}\n'}}
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def calling(*sources: str) -> str:
    modules = "".join(
        f'module "m{number}" {{\n  source    = "{source}"\n  user_data = coder_agent.main.token\n}}\n'
        f'output "o{number}" {{\n  value = module.m{number}.ids[0]\n}}\n'
        for number, source in enumerate(sources)
    )
    return CODER + AGENT + modules


def test_a_stub_replaces_a_module_and_holds_its_agent(tmp_path: Path) -> None:
    log = Recorder()
    result = plan(STUBS, template(tmp_path, calling("git::https://me:secret@example.com/vm.git?ref=v1")), log)
    assert result.unverified_modules == ("git::https://example.com/vm.git?ref=v1",)
    assert result.unverified_providers == ()
    (module,) = result.start.resources
    assert (module.type, module.name, [agent.name for agent in module.agents]) == ("module", "m0", ["main"])
    (warning,) = log.outputs(Stage.INSTALLING, LogLevel.WARN)
    assert warning == (
        "module m0 (main.tf:10) from git::https://example.com/vm.git?ref=v1 could not be fetched: fetching modules "
        "from outside the template is disabled on this daemon; a stub replaces it, so this version is unverified"
    )
    assert "secret" not in log.text


def test_an_agent_passed_through_a_module_belongs_to_the_dependent_resource(tmp_path: Path) -> None:
    content = calling("acme/container/google") + 'resource "terraform_data" "vm" {\n  input = module.m0.ids[0]\n}\n'
    (vm,) = plan(STUBS, template(tmp_path, content)).start.resources
    assert (vm.type, vm.name, [agent.name for agent in vm.agents]) == ("terraform_data", "vm", ["main"])


def test_without_stubs_the_import_fails_with_module_and_reason(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        plan(replace(STUBS, stub_providers=False), template(tmp_path, calling("acme/vpc/aws")))
    assert str(caught.value) == (
        "module m0 (main.tf:10) from acme/vpc/aws could not be fetched: "
        "fetching modules from outside the template is disabled on this daemon"
    )


def test_an_available_module_is_fetched_with_its_nested_modules(tmp_path: Path, module_server: ModuleServer) -> None:
    log = Recorder()
    result = plan(FETCHING, template(tmp_path, calling(f"{module_server.url}/vm.zip")), log)
    assert result.unverified_modules == ()
    assert [(r.type, r.name, [a.name for a in r.agents]) for r in result.start.resources] == [
        ("terraform_data", "disk", []),
        ("terraform_data", "machine", ["main"]),
    ]
    assert not log.outputs(level=LogLevel.WARN)


def test_stubs_replace_only_unavailable_modules(tmp_path: Path, module_server: ModuleServer) -> None:
    log = Recorder()
    sources = (f"{module_server.url}/vm.zip", f"{module_server.url}/none.zip", "http://127.0.0.1:9/vm.zip")
    result = plan(FETCHING, template(tmp_path, calling(*sources)), log)
    assert result.unverified_modules == tuple(sorted(sources[1:]))
    assert {resource.name for resource in result.start.resources} == {"disk", "machine"}
    warnings = log.outputs(Stage.INSTALLING, LogLevel.WARN)
    assert len([line for line in warnings if line.endswith("so this version is unverified")]) == 2
    assert "  on main.tf:17" in warnings  # Terraform's own messages are in the log too
    assert "bad response code: 404" in " ".join(warnings)


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (
            'resource "terraform_data" "x" {\n  lifecycle {\n    ignore_change = []\n  }\n}\n',
            r"Unsupported argument .*:3\)",
        ),
        ('terraform {\n  required_version = ">= 99"\n}\n', r"does not support Terraform version \d"),
    ],
)
def test_errors_of_get_that_concern_no_module_fail_with_their_place(
    tmp_path: Path, module_server: ModuleServer, broken: str, text: str
) -> None:
    content = {"main.tf": calling(f"{module_server.url}/vm.zip"), "broken.tf": broken}
    log = Recorder()
    with pytest.raises(EngineError, match=text):
        plan(FETCHING, template(tmp_path, content), log)
    assert any(line.startswith("  on broken.tf:") for line in log.outputs(level=LogLevel.ERROR))


def test_remote_state_in_a_fetched_module_is_rejected(tmp_path: Path, module_server: ModuleServer) -> None:
    state = 'data "terraform_remote_state" "x" {\n  backend = "local"\n}\n'
    module_server.archives["/state.zip"] = _archive(
        {"main.tf": 'variable "user_data" {}\noutput "ids" { value = [] }\n' + state}
    )
    with pytest.raises(EngineError, match=r"^module\.m0/main\.tf:\d+: a template must not read terraform_remote_state"):
        plan(FETCHING, template(tmp_path, calling(f"{module_server.url}/state.zip")))


def test_a_failed_module_is_not_fetched_again_for_a_minute(tmp_path: Path, module_server: ModuleServer) -> None:
    now = [0.0]
    engine = TerraformEngine(FETCHING)
    engine._fetcher = ModuleFetcher(FETCHING, clock=lambda: now[0])
    counts = []
    for number, moment in enumerate((0.0, 59.0, 61.0)):
        now[0] = moment
        root = template(tmp_path / str(number), calling(f"{module_server.url}/none.zip"))
        engine.plan_import(root, PlanInput(), log=Recorder(), stop=Event())
        counts.append(len(module_server.requested))
    assert counts[0] > 0
    assert counts[1] == counts[0]
    assert counts[2] > counts[1]


def test_stubs_declare_the_aliases_of_passed_providers(tmp_path: Path) -> None:
    content = (
        'provider "docker" {\n  alias = "far"\n}\n'
        'terraform {\n  required_providers {\n    docker = { source = "kreuzwerker/docker" }\n  }\n}\n'
        'module "m" {\n  source = "acme/box/docker"\n  providers = {\n    docker.there = docker.far\n  }\n}\n'
    )
    result = plan(STUBS, template(tmp_path, content))
    assert result.unverified_providers == ("registry.terraform.io/kreuzwerker/docker",)
    assert result.unverified_modules == ("acme/box/docker",)


# ---------------------------------------------------------------------- the cache, and git
def test_fetched_modules_are_kept_by_their_content(tmp_path: Path, module_server: ModuleServer) -> None:
    used = replace(FETCHING, plugin_cache=tmp_path / "cache")
    sources = (f"{module_server.url}/vm.zip", f"{module_server.url}/vm.zip?version=2")
    counts = []
    for number in range(2):
        log = Recorder()
        result = plan(used, template(tmp_path / str(number), calling(*sources)), log)
        assert {resource.name for resource in result.start.resources} == {"disk", "machine"}
        counts.append(len(module_server.requested))
    assert counts[0] > 0
    assert counts[1] == counts[0]
    assert "Using module m0, module m1 of the cache" in log.text
    assert len(list((tmp_path / "cache" / "modules").iterdir())) == 1


def test_modules_that_can_change_are_fetched_again_after_a_while(tmp_path: Path, module_server: ModuleServer) -> None:
    used = replace(FETCHING, plugin_cache=tmp_path / "cache", registry_cache_seconds=0)
    for number in range(2):
        before = len(module_server.requested)
        plan(used, template(tmp_path / str(number), calling(f"{module_server.url}/vm.zip")))
        assert len(module_server.requested) > before


class _GitHandler(SimpleHTTPRequestHandler):
    """Serves a folder to callers with a password."""

    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"reader:token").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_arguments: object) -> None:
        pass


def test_git_uses_the_operators_credentials_and_keeps_commits(tmp_path: Path) -> None:
    work, served = tmp_path / "work", tmp_path / "served"
    work.mkdir()
    (work / "main.tf").write_text('variable "user_data" {}\noutput "ids" { value = ["x"] }\n')
    own = {"HOME": str(tmp_path), "PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "first")):
        subprocess.run(("git", *arguments), cwd=work, env=own, check=True)
    subprocess.run(("git", "clone", "-q", "--bare", str(work), str(served / "vm.git")), env=own, check=True)
    subprocess.run(("git", "update-server-info"), cwd=served / "vm.git", env=own, check=True)
    commit = (served / "vm.git" / "packed-refs").read_text().split()[-2]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_GitHandler, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    credentials = tmp_path / "credentials"
    credentials.write_text(f"{url.replace('//', '//reader:token@')}\n")
    try:
        source = f"git::{url}/vm.git?ref={commit}"
        denied = plan(FETCHING, template(tmp_path / "denied", calling(source)))
        assert denied.unverified_modules == (source,)
        used = replace(FETCHING, git_credentials=credentials, plugin_cache=tmp_path / "cache", registry_cache_seconds=0)
        for number in range(2):
            log = Recorder()
            assert plan(used, template(tmp_path / str(number), calling(source)), log).unverified_modules == (), log.text
            assert "token" not in log.text
            if number == 0:
                fetched = _GitHandler.requests
        assert _GitHandler.requests == fetched
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
