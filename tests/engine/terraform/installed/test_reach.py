"""What an installed provider can reach: files, sockets and hosts that the operator allows, and nothing else."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from provisioning.engine import sandbox
from provisioning.engine.base import EngineError, LogLevel
from provisioning.engine.sandbox import SandboxUnavailableError
from provisioning.engine.terraform import EngineSettings
from tests.engine.terraform.recording import Recorder, template

from .registry import TOY, TOY_FILES, requiring, write_mirror
from .test_installing import plan, settings, version_in

pytestmark = pytest.mark.terraform


@pytest.fixture(params=["landlock", "bubblewrap"])
def kind(request: pytest.FixtureRequest) -> str:
    try:
        sandbox.choose(request.param)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    return str(request.param)


def trying(kind: str, target: str) -> str:
    """Return a template whose provider tries to reach something, and shows what it found."""
    return requiring(
        body=f'data "toy_try" "it" {{\n  kind   = "{kind}"\n  target = "{target}"\n}}\n'
        'resource "coder_metadata" "m" {\n  resource_id = terraform_data.x.id\n'
        '  item {\n    key = "result"\n    value = data.toy_try.it.result\n  }\n}\n'
    )


def offline(folder: Path, **options: object) -> EngineSettings:
    write_mirror(folder / "cache", "1.0.0")
    return settings(folder, **({"network": False} | options))


@contextmanager
def web_server() -> Iterator[int]:
    """Serve ``hello`` over HTTP on loopback. Yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


# ---------------------------------------------------------------------- files and sockets
def test_files_are_readable_for_providers_alone(tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "kubeconfig"
    secret.write_text("token")
    closed = offline(tmp_path, sandbox=kind)
    opened = settings(tmp_path, network=False, sandbox=kind, provider_read_paths=(*TOY_FILES, secret))
    with pytest.raises(EngineError, match="The toy cannot reach its target"):
        plan(closed, template(tmp_path / "a", trying("file", str(secret))))
    assert version_in(plan(opened, template(tmp_path / "b", trying("file", str(secret))))) == "token"
    # The template itself cannot read it, although the provider can.
    own = requiring(body=f'locals {{\n  x = file("{secret}")\n}}\ndata "toy_about" "it" {{}}\n')
    with pytest.raises(EngineError, match="Invalid function argument"):
        plan(opened, template(tmp_path / "c", own))


def test_sockets_are_reachable_if_they_are_listed(tmp_path: Path) -> None:
    try:
        sandbox.choose("bubblewrap")
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    path = tmp_path / "d.sock"

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(b"docker")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        with pytest.raises(EngineError, match="The toy cannot reach its target"):
            plan(offline(tmp_path), template(tmp_path / "a", trying("socket", str(path))))
        opened = settings(tmp_path, network=False, provider_sockets=(path,))
        assert version_in(plan(opened, template(tmp_path / "b", trying("socket", str(path))))) == "docker"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_variables_of_the_setting_reach_providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBE_CONFIG_PATH", "/etc/kubeconfig")
    monkeypatch.setenv("OTHER_SECRET", "hunter2")
    used = offline(tmp_path, extra_environment=("KUBE_CONFIG_PATH",))
    root = template(tmp_path / "a", trying("variable", "KUBE_CONFIG_PATH"))
    assert version_in(plan(used, root)) == "/etc/kubeconfig"
    assert version_in(plan(used, template(tmp_path / "b", trying("variable", "OTHER_SECRET")))) == ""


# ---------------------------------------------------------------------- hosts
def test_allowed_hosts_are_reachable_and_others_are_named(tmp_path: Path, kind: str) -> None:
    with web_server() as port, web_server() as other:
        used = offline(tmp_path, sandbox=kind, plan_hosts=(f"127.0.0.1:{port}",))
        root = template(tmp_path / "a", trying("url", f"http://127.0.0.1:{port}/"))
        assert version_in(plan(used, root)) == "hello"
        with pytest.raises(EngineError, match=rf"wanted to reach 127\.0\.0\.1:{other}: PROVISIONER_PLAN_HOSTS"):
            plan(used, template(tmp_path / "b", trying("url", f"http://127.0.0.1:{other}/")))


def test_names_are_looked_up_outside(tmp_path: Path, kind: str) -> None:
    with web_server() as port:
        for number, (hosts, target, works) in enumerate(
            [
                (("localhost",), "localhost", True),
                ((), "localhost", False),
                (("*",), "localhost", False),  # loopback must be named
                (("0.0.0.0/0",), "127.0.0.1", False),
                (("127.0.0.0/8",), "127.0.0.1", True),
            ]
        ):
            used = offline(tmp_path / str(number), sandbox=kind, plan_hosts=hosts)
            root = template(tmp_path / str(number), trying("url", f"http://{target}:{port}/"))
            if works:
                assert version_in(plan(used, root)) == "hello"
            else:
                with pytest.raises(EngineError, match=f"wanted to reach {target}"):
                    plan(used, root)


def test_without_allowed_hosts_the_error_names_host_and_setting(tmp_path: Path, kind: str) -> None:
    used = offline(tmp_path, sandbox=kind)
    log = Recorder()
    with pytest.raises(EngineError, match=r"wanted to reach api\.example\.com: PROVISIONER_PLAN_HOSTS"):
        plan(used, template(tmp_path, trying("url", "https://api.example.com/")), log)
    assert f"provider {TOY} wanted to reach api.example.com" in " ".join(log.outputs(level=LogLevel.ERROR))


def test_datagrams_do_not_leave_the_namespace(tmp_path: Path, kind: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.2)
        used = offline(tmp_path, sandbox=kind, plan_hosts=("127.0.0.1", "*"))
        port = server.getsockname()[1]
        plan(used, template(tmp_path, trying("udp", f"127.0.0.1:{port}")))
        with pytest.raises(TimeoutError):
            server.recv(10)


# ---------------------------------------------------------------------- the operator's configuration
@pytest.mark.parametrize("mode", ["auto", "landlock", "bubblewrap"])
@pytest.mark.parametrize("way", ["mirror", "overrides", "own cache"])
def test_own_configurations_work_in_each_sandbox(tmp_path: Path, mode: str, way: str) -> None:
    try:
        sandbox.choose(mode)
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    mirror = write_mirror(tmp_path / "mirror", "1.0.0")
    program = next(mirror.glob("*/*/*/*/*"))
    methods = {
        "mirror": f'filesystem_mirror {{\n    path = "{mirror}"\n  }}',
        "overrides": f'dev_overrides {{\n    "{TOY}" = "{program}"\n  }}\n  direct {{}}',
        "own cache": f'filesystem_mirror {{\n    path = "{mirror}"\n  }}',
    }
    own = f'plugin_cache_dir = "{tmp_path}/own"\n' if way == "own cache" else ""
    config = tmp_path / "operator.rc"
    config.write_text(f"{own}provider_installation {{\n  {methods[way]}\n}}\n")
    used = settings(tmp_path, cli_config=config, sandbox=mode, registries=("registry.terraform.io",))
    result = plan(used, template(tmp_path, requiring(body='data "toy_about" "it" {}\n')))
    assert result.unverified_providers == ()
    assert (tmp_path / "own").exists() is (way == "own cache")
    if way == "own cache":
        assert list((tmp_path / "own" / TOY).glob("1.0.0/*"))
