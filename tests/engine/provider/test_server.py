import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from provisioning.engine.base import WorkspaceContext
from provisioning.engine.provider import tfplugin6_pb2 as pb
from provisioning.engine.provider.coder import CoderProvider
from provisioning.engine.provider.server import (
    CODER_ADDRESSES,
    MAX_SOCKET_PATH_BYTES,
    ProviderServer,
    reattach_config,
    serve,
)
from provisioning.engine.provider.values import decode, encode


@pytest.fixture
def provider():
    return CoderProvider(WorkspaceContext())


def call(channel, method, request=b"", *, service="tfplugin6.Provider"):
    return channel.unary_unary(f"/{service}/{method}")(request, timeout=5)


def test_the_server_answers_the_protocol(tmp_path, provider):
    with (
        serve(provider, tmp_path / "p.sock") as server,
        grpc.insecure_channel(f"unix:{server.socket_path}") as channel,
    ):
        schema = pb.GetProviderSchema.Response.FromString(call(channel, "GetProviderSchema"))
        assert {"coder_agent", "coder_app"} <= set(schema.resource_schemas)
        request = pb.ReadDataSource.Request(
            type_name="coder_provisioner", config=pb.DynamicValue(msgpack=encode({"id": None}))
        )
        read = pb.ReadDataSource.Response.FromString(call(channel, "ReadDataSource", request.SerializeToString()))
        assert decode(read.state.msgpack)["os"]
        assert call(channel, "StopProvider") == b""
        assert call(channel, "Shutdown", service="plugin.GRPCController") == b""
        assert list(channel.unary_stream("/plugin.GRPCStdio/StreamStdio")(b"", timeout=5)) == []
        with pytest.raises(grpc.RpcError) as failed:
            call(channel, "MoveResourceState")
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_provider_can_be_replaced(tmp_path, provider):
    request = pb.ReadDataSource.Request(type_name="coder_workspace", config=pb.DynamicValue(msgpack=encode({})))

    def name(channel):
        read = pb.ReadDataSource.Response.FromString(call(channel, "ReadDataSource", request.SerializeToString()))
        return decode(read.state.msgpack)["name"]

    with (
        serve(provider, tmp_path / "p.sock") as server,
        grpc.insecure_channel(f"unix:{server.socket_path}") as channel,
    ):
        assert name(channel) == "default"
        server.provider = CoderProvider(WorkspaceContext(workspace_name="mine"))
        assert name(channel) == "mine"


def test_the_server_answers_concurrent_calls(tmp_path, provider):
    with (
        serve(provider, tmp_path / "p.sock") as server,
        grpc.insecure_channel(f"unix:{server.socket_path}") as channel,
        ThreadPoolExecutor(8) as threads,
    ):
        sizes = set(threads.map(lambda _: len(call(channel, "GetProviderSchema")), range(32)))

    assert len(sizes) == 1


def test_the_socket_is_private_and_is_removed(tmp_path, provider):
    path = tmp_path / "p.sock"

    with serve(provider, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_the_server_stops_immediately_with_a_connected_client(tmp_path, provider):
    server = ProviderServer(provider, tmp_path / "p.sock")
    server.start()
    with grpc.insecure_channel(f"unix:{server.socket_path}") as channel:
        call(channel, "GetProviderSchema")
        started = time.monotonic()
        server.stop()
        server.stop()

    assert time.monotonic() - started < 5


def test_a_path_that_is_too_long_for_a_socket_is_rejected(tmp_path, provider):
    path = tmp_path / ("x" * MAX_SOCKET_PATH_BYTES)

    with pytest.raises(ValueError, match="107 bytes"):
        serve(provider, path)


def test_a_missing_directory_is_an_os_error(tmp_path, provider):
    with pytest.raises(OSError, match="cannot create a socket"), serve(provider, tmp_path / "absent" / "p.sock"):
        pass


def test_the_reattach_configuration_contains_all_addresses(tmp_path):
    config = json.loads(reattach_config(dict.fromkeys(CODER_ADDRESSES, tmp_path / "p.sock"), pid=7))

    assert set(config) == set(CODER_ADDRESSES)
    assert config["registry.terraform.io/coder/coder"] == {
        "Protocol": "grpc",
        "ProtocolVersion": 6,
        "Pid": 7,
        "Test": True,
        "Addr": {"Network": "unix", "String": str(tmp_path / "p.sock")},
    }
