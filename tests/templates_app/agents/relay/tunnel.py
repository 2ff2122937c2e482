"""An agent or a client with a tunnel through the relay: ``python -m tests.templates_app.agents.relay.tunnel …``.

It does what a real one does with its network: it sends its node on the WebSocket, reads the map of relays, learns its
partner's node, connects to the relay, and passes on the packets of a network device (TUN). Only the encryption is
missing. Run it in a network namespace, as root.
"""

import argparse
import asyncio
import fcntl
import json
import os
import struct
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from nacl.public import PrivateKey
from websockets.asyncio.client import connect

from tests.templates_app.agents.relay.clients import PING, PONG, RECEIVE, SEND, Client, frame

# From linux/if_tun.h.
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 1280


def open_device(address: str) -> int:
    """Return the descriptor of a new network device with this address."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"relayed", IFF_TUN | IFF_NO_PI))
    for command in (["addr", "add", address, "dev", "relayed"], ["link", "set", "relayed", "up", "mtu", str(MTU)]):
        subprocess.run(["ip", *command], check=True)
    return device


def node(key: PrivateKey, number: int) -> bytes:
    return json.dumps(
        {
            "id": number,
            "as_of": "2026-01-02T03:04:05Z",
            "key": f"nodekey:{bytes(key.public_key).hex()}",
            "disco": f"discokey:{number:064x}",
            "preferred_derp": 900,
            "derp_latency": None,
            "addresses": [],
            "allowed_ips": [],
            "endpoints": [],
        }
    ).encode()


def get(url: str, token: str) -> dict:
    request = urllib.request.Request(url, headers={"Coder-Session-Token": token})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as response:
        return json.load(response)


async def run(options: argparse.Namespace) -> None:
    key = PrivateKey.generate()
    if options.agent_id:
        base = f"/api/v2/workspaceagents/{options.agent_id}"
        regions = get(f"{options.url}{base}/connection", options.token)["derp_map"]["Regions"]
    else:
        base = "/api/v2/workspaceagents/me"
        regions = get(f"{options.url}{base}/metadata", options.token)["derpmap"]["Regions"]
    (relay,) = regions["900"]["Nodes"]
    device = open_device(options.address)
    headers = {"Cookie": f"coder_session_token={options.token}"}
    url = f"ws://{urlsplit(options.url).netloc}{base}/coordinate"
    async with connect(url, additional_headers=headers, proxy=None) as coordination:
        await coordination.send(node(key, int(options.agent_id is None) + 1))
        client = await Client(key).connect(relay["DERPPort"], host=relay["HostName"])
        nodes: list[dict] = []
        while not nodes:
            nodes = json.loads(await coordination.recv())
        partner = bytes.fromhex(nodes[-1]["key"].removeprefix("nodekey:"))
        asyncio.get_running_loop().add_reader(device, lambda: send_packets(device, client, partner))
        Path(options.ready).touch()
        while True:
            kind, length = struct.unpack(">BI", await client.reader.readexactly(5))
            payload = await client.reader.readexactly(length)
            if kind == PING:
                client.write(PONG, payload)
            if kind == RECEIVE and payload[:32] == partner:
                os.write(device, payload[32:])


def send_packets(device: int, client: Client, partner: bytes) -> None:
    for _ in range(64):
        try:
            packet = os.read(device, 2048)
        except BlockingIOError:
            return
        client.writer.write(frame(SEND, partner + packet))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True, help="of the web server")
    parser.add_argument("--token", required=True)
    parser.add_argument("--agent-id", help="of the agent to connect to; without it, this is the agent")
    parser.add_argument("--address", required=True, help="of the tunnel's device, with the length of its network")
    parser.add_argument("--ready", required=True, help="the file that is made when the tunnel is open")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
