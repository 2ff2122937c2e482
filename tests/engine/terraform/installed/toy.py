"""A provider that is installed like a real one: ``acme/toy``, a program with the handshake of Terraform's plugins.

Its version decides how it behaves. ``data "toy_try"`` tries to reach a file, a socket or the network. A resource
``toy_thing`` with an ``inventory`` exists in it, see ``inventory.Inventory``; it takes ``seconds`` to create one, which
``fails`` after that.
"""

import os
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from provisioning.engine.provider import tfplugin6_pb2 as pb
from provisioning.engine.provider.base import Object, Provider
from provisioning.engine.provider.diagnostics import Diagnostic, DiagnosticError
from provisioning.engine.provider.schema import Attribute, Schema, computed, optional, required
from provisioning.engine.provider.server import serve
from provisioning.engine.provider.values import decode

TRY = "toy_try"
CRASHING, BROKEN, SILENT = "9.0.1", "9.0.2", "9.0.3"


def _reach(kind: str, target: str) -> str:
    """Return what the provider finds at ``target``. Raises OSError."""
    match kind:
        case "file":
            return Path(target).read_text()
        case "socket":
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(target)
                return client.recv(100).decode()
        case "tcp":
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=5) as client:
                return client.recv(100).decode()
        case "url":
            with urllib.request.urlopen(target, timeout=5) as response:
                return str(response.read().decode())
        case "udp":
            host, _, port = target.rpartition(":")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", (host, int(port)))
                return "sent"
        case "variable":
            return os.environ.get(target, "")
    raise OSError(f"unknown kind {kind}")


def _record(inventory: str, change: str) -> None:
    """Send a change to an inventory and wait until it is recorded."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(inventory)
        client.sendall(f"{change}\n".encode())
        client.recv(1)


class ToyProvider(Provider):
    """Resources have the provider's version and the greeting of their provider block."""

    configuration = Schema({"greeting": optional()})

    def __init__(self, version: str) -> None:
        self.version = version
        self.greeting = ""
        self.resources = {
            "toy_thing": Schema(
                {
                    "id": computed(),
                    "name": optional(),
                    "inventory": optional(),
                    "seconds": Attribute("number"),
                    "fails": Attribute("bool"),
                }
            )
        }
        self.data_sources = {
            TRY: Schema({"kind": required(), "target": required(), "result": computed()}),
            "toy_about": Schema({"version": computed(), "greeting": computed()}),
        }

    def configure(self, configuration: Object) -> None:
        self.greeting = str(configuration.get("greeting") or "")

    def apply_resource_change(self, request: pb.ApplyResourceChange.Request) -> pb.ApplyResourceChange.Response:
        response = super().apply_resource_change(request)
        if not response.diagnostics:
            for sign, value in (("-", request.prior_state), ("+", response.new_state)):
                thing: Any = decode(value.msgpack) if value.msgpack else None
                if thing and thing["inventory"]:
                    _record(thing["inventory"], f"{sign}{thing['name']}")
        return response

    def apply(self, type_name: str, planned: Object) -> Object:
        if planned.get("inventory"):
            _record(str(planned["inventory"]), f"~{planned['name']}")
        time.sleep(float(str(planned.get("seconds") or 0)))
        if planned.get("fails"):
            raise DiagnosticError(Diagnostic("The toy broke", f"{planned['name']} cannot be made."))
        return super().apply(type_name, planned)

    def read_data_source(self, type_name: str, config: Object) -> Object:
        if self.version == CRASHING:
            os.write(2, b"panic: runtime error: the toy is broken\n\ngoroutine 1 [running]:\n")
            os._exit(2)
        if type_name == "toy_about":
            return {**config, "version": self.version, "greeting": self.greeting}
        try:
            return {**config, "result": _reach(str(config["kind"]), str(config["target"]))}
        except OSError as error:
            raise DiagnosticError(
                Diagnostic("The toy cannot reach its target", f"{config['target']}: {error}")
            ) from error


def main(version: str) -> None:
    """Serve the provider until the process is killed."""
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") is None:
        sys.exit("This program is a Terraform provider.")
    if version == BROKEN:
        sys.exit("toy: cannot load libtoy.so")
    if version == SILENT:
        time.sleep(600)
    folder = tempfile.mkdtemp(prefix="plugin")
    with serve(ToyProvider(version), Path(folder) / "toy") as server:
        print(f"1|6|unix|{server.socket_path}|grpc|", flush=True)
        signal.pause()
