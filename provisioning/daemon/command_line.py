"""The daemon's command line, and running one that reaches its server over HTTPS. No Django here."""

import logging
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coderproj import __version__
from coderproj.base.log_format import LineFormatter
from provisioning.daemon import configuration, settings
from provisioning.daemon.loop import Daemon
from provisioning.protocol.client import JobClient, NotAccepted, Refused
from provisioning.protocol.kinds import load

logger = logging.getLogger(__name__)

REFUSED = 1
WRONG_USAGE = 2


class WrongUsage(Exception):
    """Options that do not go together."""


def tag(text: str) -> tuple[str, str]:
    """``key=value``."""
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def positive(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number above zero, got {text!r}")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """The options of ``manage.py provisionerd`` and of ``python -m provisioning.daemon``."""
    parser.add_argument("--name", default="", help="durable name of this daemon (default: the host's name)")
    parser.add_argument("--concurrency", type=positive, help="jobs at the same time (PROVISIONER_CONCURRENCY)")
    parser.add_argument(
        "--tag", type=tag, action="append", default=[], metavar="KEY=VALUE", help="what this daemon offers"
    )
    parser.add_argument(
        "--drain-seconds", type=positive, help="how long a stop waits for jobs (PROVISIONER_JOB_SECONDS)"
    )
    parser.add_argument("--once", action="store_true", help="run the jobs that wait, then stop")
    remote = parser.add_argument_group("without database access")
    remote.add_argument("--url", default="", help="the server, https://HOST (CODER_URL, when there is a key)")
    remote.add_argument(
        "--key", default="", help="a provisioner key; better use --key-file or PROVISIONER_DAEMON_KEY[_FILE]"
    )
    remote.add_argument("--key-file", type=Path, help="a file that holds the key")
    remote.add_argument("--allow-http", action="store_true", help="send the key unencrypted to another machine")


def is_remote(options: Mapping[str, Any]) -> bool:
    """Whether the options, or the environment, ask for a daemon without database access."""
    return bool(options["url"] or options["key"] or options["key_file"] or settings.PROVISIONER_DAEMON_KEY)


def configure(given: Any, options: Mapping[str, Any], job_kinds: tuple[str, ...]) -> configuration.Configuration:
    """What the options ask for."""
    return configuration.from_settings(
        given,
        job_kinds=job_kinds,
        name=options["name"],
        tags=dict(options["tag"]),
        concurrency=options["concurrency"],
        drain_seconds=options["drain_seconds"],
    )


def remote_client(options: Mapping[str, Any], chosen: configuration.Configuration) -> JobClient:
    """The client that the options ask for. Raises WrongUsage."""
    from provisioning.daemon.remote import BadAddress, RemoteClient

    if options["tag"]:
        raise WrongUsage("--tag: the tags of a daemon without database access are those of its key")
    key = options["key"]
    if options["key_file"]:
        try:
            key = options["key_file"].read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUsage(f"--key-file: cannot read {options['key_file']}: {error}") from None
    key = key or settings.PROVISIONER_DAEMON_KEY
    url = options["url"] or settings.CODER_URL
    if not key or not url:
        raise WrongUsage("a daemon without database access needs --url and --key-file")
    if not key.isascii() or not key.isprintable():
        raise WrongUsage("the key is none: it has other characters than letters, digits and hyphens")
    try:
        return RemoteClient(
            url,
            key,
            lease_seconds=chosen.lease_seconds,
            kinds=load(chosen.job_kinds),
            allow_http=options["allow_http"],
        )
    except BadAddress as error:
        raise WrongUsage(f"--url: {error}") from None


def run(chosen: configuration.Configuration, client: JobClient, *, once: bool) -> int:
    """Run a daemon until a signal ends it; returns the exit status."""
    daemon = Daemon(chosen, client, once=once)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    try:
        daemon.run()
    except (NotAccepted, Refused) as error:
        logger.error("The server refuses this daemon: %s", error)
        return REFUSED
    return 0


def run_remotely(options: Mapping[str, Any]) -> int:
    """Run a daemon without database access; returns the exit status."""
    try:
        chosen = configure(settings, options, settings.JOB_KINDS)
        client = remote_client(options, chosen)
    except WrongUsage as error:
        sys.stderr.write(f"provisionerd: {error}\n")
        return WRONG_USAGE
    return run(chosen, client, once=options["once"])


def run_if_remote(arguments: Sequence[str]) -> int | None:
    """The exit status of a daemon without database access; None when these arguments are not about one."""
    parser = ArgumentParser(prog="manage.py provisionerd", add_help=False)
    add_arguments(parser)
    options: Namespace = parser.parse_known_args(arguments)[0]
    if {"-h", "--help"} & set(arguments) or not is_remote(vars(options)):
        return None
    _log_to_stderr()
    return run_remotely(vars(options))


def main() -> int:
    """``python -m provisioning.daemon``: always without database access."""
    parser = ArgumentParser(
        prog="python -m provisioning.daemon",
        description="Take jobs from a server over HTTPS and run them. SIGTERM finishes the running jobs first.",
    )
    parser.add_argument("--version", action="version", version=f"coderproj {__version__}")
    add_arguments(parser)
    options = parser.parse_args()
    _log_to_stderr()
    return run_remotely(vars(options))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=settings.LOG_LEVEL, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
