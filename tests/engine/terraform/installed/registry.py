"""Packages of the toy provider, a mirror of them, and a registry on loopback that publishes them signed."""

import hashlib
import io
import json
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from provisioning.engine.terraform.provider_store import PLATFORM

from . import signing

REPOSITORY = Path(__file__).parents[4]
HOST = "registry.example.com"
TOY = f"{HOST}/acme/toy"
# What the toy needs to run: Python, its packages and this repository.
TOY_FILES = (Path(sys.base_prefix), Path(sys.prefix), REPOSITORY)


def toy_program(version: str) -> str:
    """Return the source of the provider's executable."""
    return (
        f"#!{sys.executable}\nimport sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
        f"from tests.engine.terraform.installed.toy import main\nmain({version!r})\n"
    )


def toy_archive(version: str, *, name: str = "toy", readme: str = "") -> bytes:
    """Return a provider's package as a zip."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        member = zipfile.ZipInfo(f"terraform-provider-{name}_v{version}")
        member.external_attr = 0o755 << 16
        archive.writestr(member, toy_program(version))
        if readme:
            archive.writestr("README.md", readme)
    return content.getvalue()


def write_mirror(folder: Path, *versions: str, address: str = TOY) -> Path:
    """Write unpacked packages as a filesystem mirror. Returns ``folder``."""
    name = address.rpartition("/")[2]
    for version in versions:
        package = folder / address / version / PLATFORM
        package.mkdir(parents=True)
        program = package / f"terraform-provider-{name}_v{version}"
        program.write_text(toy_program(version))
        program.chmod(0o755)
    return folder


@dataclass
class Registry:
    """The registry's content and behaviour. ``requests`` counts the paths, ``names`` are of provider types."""

    versions: list[str]
    names: tuple[str, ...] = ("toy",)
    status: int = 0  # of all responses if not 0
    delay: float = 0.0  # seconds before each response
    is_silent: bool = False  # accepts connections and never responds
    damaged: frozenset[str] = frozenset()  # versions whose package differs from its hash
    requests: Counter[str] = field(default_factory=Counter)
    url: str = ""

    @property
    def downloads(self) -> int:
        return sum(count for path, count in self.requests.items() if path.endswith(".zip"))

    def cli_config(self, folder: Path, *, more: str = "", host: str = HOST) -> Path:
        """Write a CLI configuration that finds the registry at ``host``."""
        path = folder / "operator.rc"
        path.write_text(f'host "{host}" {{\n  services = {{ "providers.v1" = "{self.url}/v1/providers/" }}\n}}\n{more}')
        return path

    def response(self, path: str) -> bytes | None:
        """Return the body for a path, or None if there is none."""
        parts = path.strip("/").split("/")
        if path.endswith((".zip", "SHA256SUMS", "SHA256SUMS.sig")):
            return self._file(parts[-1])
        if parts[:3] != ["v1", "providers", "acme"] or parts[3] not in self.names:
            return None
        system, machine = PLATFORM.split("_")
        if parts[4:] == ["versions"]:
            listed = [
                {"version": one, "protocols": ["6.0"], "platforms": [{"os": system, "arch": machine}]}
                for one in self.versions
            ]
            return json.dumps({"versions": listed}).encode()
        name, version = parts[3], parts[4]
        file = f"terraform-provider-{name}_{version}_{PLATFORM}.zip"
        return json.dumps(
            {
                "protocols": ["6.0"],
                "os": system,
                "arch": machine,
                "filename": file,
                "download_url": f"{self.url}/files/{file}",
                "shasums_url": f"{self.url}/files/{name}_{version}_SHA256SUMS",
                "shasums_signature_url": f"{self.url}/files/{name}_{version}_SHA256SUMS.sig",
                "shasum": hashlib.sha256(toy_archive(version, name=name)).hexdigest(),
                "signing_keys": {
                    "gpg_public_keys": [{"key_id": signing.key_id(), "ascii_armor": signing.public_key()}]
                },
            }
        ).encode()

    def _file(self, file: str) -> bytes:
        if file.endswith(".zip"):
            _, version, *_ = file.removeprefix("terraform-provider-").split("_")
            name = file.removeprefix("terraform-provider-").partition("_")[0]
            return toy_archive(version, name=name, readme="damaged" if version in self.damaged else "")
        name, version = file.split("_")[:2]
        digest = hashlib.sha256(toy_archive(version, name=name)).hexdigest()
        sums = f"{digest}  terraform-provider-{name}_{version}_{PLATFORM}.zip\n".encode()
        return signing.detached_signature(sums) if file.endswith(".sig") else sums


@contextmanager
def serving(registry: Registry) -> Iterator[Registry]:
    """Serve the registry on loopback."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            registry.requests[path] += 1
            if registry.is_silent:
                ended.wait()
                return
            time.sleep(registry.delay)
            body = registry.response(path)
            self.send_response(registry.status or (404 if body is None else 200))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def requiring(names: Iterable[str] = ("toy",), *, version: str = "", body: str = "", host: str = HOST) -> str:
    """Return a template that requires and uses providers of the registry. ``body`` starts at line 11 for one name."""
    wanted = f', version = "{version}"' if version else ""
    listed = "".join(f'    {name} = {{ source = "{host}/acme/{name}"{wanted} }}\n' for name in names)
    used = "".join(f'resource "toy_thing" "{name}" {{\n  provider = {name}\n}}\n' for name in names)
    return (
        f'terraform {{\n  required_providers {{\n    coder = {{ source = "coder/coder" }}\n{listed}  }}\n}}\n'
        'resource "terraform_data" "x" {}\n' + used + body
    )


ABOUT = (
    'data "toy_about" "it" {}\n'
    'resource "coder_metadata" "m" {\n  resource_id = terraform_data.x.id\n'
    '  item {\n    key = "version"\n    value = data.toy_about.it.version\n  }\n}\n'
)
