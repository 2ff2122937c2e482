"""``manage.py relay``: serve until SIGTERM or SIGINT. Does not set up Django."""

import argparse
import asyncio
import logging
import logging.config
import signal
import socket
import sys
from collections.abc import Sequence

import uvloop
from django.conf import settings
from nacl.public import PrivateKey

from coderproj.base.processes import allow_connections
from coderproj.web import addresses
from templates_app.agents.relay.handshake import server_key
from templates_app.agents.relay.peers import Directory
from templates_app.agents.relay.rights import Rights
from templates_app.agents.relay.server import Limits, Relay

logger = logging.getLogger(__name__)

DESCRIPTION = (
    "Pass packets between agents and clients that have no route to each other. It needs RELAY_URL, the address at which"
    " they reach it. SIGTERM: stop."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=settings.RELAY_PORT, help="port (default: %(default)s)")


def main(arguments: Sequence[str]) -> None:
    """Run the command line. Exits with status 1 and the reason if the relay cannot start."""
    parser = argparse.ArgumentParser(prog="manage.py relay", description=DESCRIPTION)
    add_arguments(parser)
    options = parser.parse_args(arguments)
    run(options.host, options.port)


def run(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Exits with status 1 and the reason if the relay cannot start."""
    logging.config.dictConfig(settings.LOGGING)
    if not settings.RELAY_URL:
        sys.exit("RELAY_URL is not set: this deployment has no relay. Set it for the web servers as well.")
    try:
        key = server_key(settings.RELAY_KEY, settings.DATA_DIR)
    except (OSError, ValueError) as error:
        sys.exit(f"The relay's key cannot be read: {error}")
    try:
        listening = addresses.listen(host, port)
    except OSError as error:
        sys.exit(f"The relay cannot listen on {host}, port {port}: {error.strerror or error}")
    allow_connections()
    uvloop.run(_serve(listening, key))


async def _serve(listening: socket.socket, key: PrivateKey) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    limits = Limits(
        connections=settings.RELAY_CONNECTIONS,
        waiting_bytes=settings.RELAY_MEMORY_MIB * 2**20,
        bytes_per_second=settings.RELAY_BYTES_PER_SECOND,
    )
    directory = Directory()
    relay = Relay(key, directory, limits, settings.TRUSTED_PROXIES)
    rights = asyncio.create_task(Rights(directory, settings.DATABASES["default"]).run())
    await relay.start(listening)
    host, port = listening.getsockname()[:2]
    logger.info("The relay listens on %s", addresses.url(host, port))
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({waiting, rights}, return_when=asyncio.FIRST_COMPLETED)
    await relay.stop()
    if rights.done():
        rights.result()
    rights.cancel()
    await asyncio.gather(rights, return_exceptions=True)
    logger.info("The relay has stopped")
