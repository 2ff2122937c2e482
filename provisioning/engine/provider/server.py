"""Serve a provider to Terraform: gRPC on a unix socket, announced in ``TF_REATTACH_PROVIDERS``.

This must not run in a process that forks without ``exec``: gRPC's threads and locks do not survive a fork.
"""

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc

from provisioning.engine.provider import tfplugin6_pb2 as pb
from provisioning.engine.provider.base import Provider

# All addresses of the coder provider in templates: in Terraform's and OpenTofu's registries, and the address that
# Terraform assumes if a template has no required_providers.
CODER_ADDRESSES: Final = (
    "registry.terraform.io/coder/coder",
    "registry.opentofu.org/coder/coder",
    "registry.terraform.io/hashicorp/coder",
)

# The kernel's sockaddr_un holds 108 bytes including the terminating NUL.
MAX_SOCKET_PATH_BYTES: Final = 107
_MAX_MESSAGE_BYTES: Final = 64 << 20
_THREADS: Final = 4

DEFAULT_PROTOCOL: Final = 6
_SERVICE: Final = "tfplugin6.Provider"


class ProviderServer:
    """Serves one provider from ``__enter__`` to ``__exit__``. Each server has a separate socket.

    ``provider`` can be replaced while no call runs. The socket's directory must exist and should be private to the job.
    Raises ValueError if the path is too long for a socket, and OSError if the socket cannot be created.
    """

    def __init__(self, provider: Provider, socket_path: Path) -> None:
        length = len(os.fsencode(socket_path.absolute()))
        if length > MAX_SOCKET_PATH_BYTES:
            raise ValueError(
                f"a socket path can have at most {MAX_SOCKET_PATH_BYTES} bytes, {socket_path} has {length}"
            )
        self.socket_path = socket_path.absolute()
        self.provider = provider
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="provider")
        self._server: grpc.Server | None = None

    def start(self) -> None:
        server = grpc.server(
            self._threads,
            handlers=_handlers(self),
            options=[
                ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
            ],
        )
        try:
            server.add_insecure_port(f"unix:{self.socket_path}")
        except RuntimeError as error:
            raise OSError(f"cannot create a socket at {self.socket_path}") from error
        self.socket_path.chmod(0o600)
        server.start()
        self._server = server

    def stop(self) -> None:
        """Close all connections and stop immediately. Can be called again."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.socket_path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def serve(provider: Provider, socket_path: Path) -> ProviderServer:
    """Return a server for use in a ``with`` statement. Raises like ProviderServer."""
    return ProviderServer(provider, socket_path)


def reattach_config(
    sockets: Mapping[str, Path], *, protocols: Mapping[str, int] | None = None, pid: int | None = None
) -> str:
    """Return the value of ``TF_REATTACH_PROVIDERS`` for the sockets of providers by full source address.

    ``protocols`` has the providers that speak another version of the protocol.

    Addresses that a template does not use are harmless. ``Test`` prevents Terraform from killing the server. Terraform
    checks every second that ``pid`` (default: this process) is alive, and otherwise cancels the plan. If Terraform runs
    in a separate PID namespace, pass the id of a process in that namespace, such as 1.
    """
    protocols = protocols or {}
    return json.dumps(
        {
            address: {
                "Protocol": "grpc",
                "ProtocolVersion": protocols.get(address, DEFAULT_PROTOCOL),
                "Pid": pid or os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": str(path.absolute())},
            }
            for address, path in sockets.items()
        }
    )


# Messages and provider method by name of the call.
_CALLS: Final[Mapping[str, tuple[Any, str]]] = {
    "GetProviderSchema": (pb.GetProviderSchema, "get_provider_schema"),
    "ValidateProviderConfig": (pb.ValidateProviderConfig, "validate_provider_config"),
    "ValidateResourceConfig": (pb.ValidateResourceConfig, "validate_resource_config"),
    "ValidateDataResourceConfig": (pb.ValidateDataResourceConfig, "validate_data_resource_config"),
    "UpgradeResourceState": (pb.UpgradeResourceState, "upgrade_resource_state"),
    "ConfigureProvider": (pb.ConfigureProvider, "configure_provider"),
    "ReadResource": (pb.ReadResource, "read_resource"),
    "PlanResourceChange": (pb.PlanResourceChange, "plan_resource_change"),
    "ApplyResourceChange": (pb.ApplyResourceChange, "apply_resource_change"),
    "ReadDataSource": (pb.ReadDataSource, "read_data_source_config"),
    "GetFunctions": (pb.GetFunctions, "get_functions"),
    "CallFunction": (pb.CallFunction, "call_provider_function"),
    "ValidateEphemeralResourceConfig": (pb.ValidateEphemeralResourceConfig, "validate_ephemeral_resource_config"),
    "OpenEphemeralResource": (pb.OpenEphemeralResource, "open_ephemeral_resource_config"),
    "CloseEphemeralResource": (pb.CloseEphemeralResource, "close_ephemeral_resource"),
    "StopProvider": (pb.StopProvider, "stop_provider"),
}


def _handlers(server: ProviderServer) -> list[grpc.GenericRpcHandler]:
    return [
        grpc.method_handlers_generic_handler(
            _SERVICE, {name: _unary(server, message, method) for name, (message, method) in _CALLS.items()}
        ),
        # Terraform's plugin library calls these on every plugin process. This server ends with the job, not on
        # request, and has no output to pass on.
        grpc.method_handlers_generic_handler(
            "plugin.GRPCController", {"Shutdown": grpc.unary_unary_rpc_method_handler(_shutdown)}
        ),
        grpc.method_handlers_generic_handler(
            "plugin.GRPCStdio", {"StreamStdio": grpc.unary_stream_rpc_method_handler(_stream_stdio)}
        ),
    ]


def _unary(server: ProviderServer, message: Any, method: str) -> grpc.RpcMethodHandler:
    def handle(request: Any, _context: grpc.ServicerContext) -> Any:
        return getattr(server.provider, method)(request)

    return grpc.unary_unary_rpc_method_handler(
        handle,
        request_deserializer=message.Request.FromString,
        response_serializer=message.Response.SerializeToString,
    )


def _shutdown(_request: bytes, _context: grpc.ServicerContext) -> bytes:
    return b""


def _stream_stdio(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
    return iter(())
