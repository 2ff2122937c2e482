"""The daemon's command line, and the start of a daemon that connects over HTTPS. No Django here."""

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
    """The options are invalid or cannot be combined."""


def tag(text: str) -> tuple[str, str]:
    """Parse ``key=value``. Raises ArgumentTypeError."""
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def positive(text: str) -> int:
    """Parse an integer above zero. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected an integer above zero, got {text!r}")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``manage.py provisionerd`` and ``python -m provisioning.daemon``."""
    parser.add_argument(
        "--name", default="", help="name of this daemon, kept across restarts (default: the host's name)"
    )
    parser.add_argument("--concurrency", type=positive, help="jobs to run concurrently (PROVISIONER_CONCURRENCY)")
    parser.add_argument(
        "--tag",
        type=tag,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="tag of this daemon, matched with tags of jobs",
    )
    parser.add_argument(
        "--drain-seconds", type=positive, help="how long a stop waits for running jobs (PROVISIONER_JOB_SECONDS)"
    )
    parser.add_argument("--once", action="store_true", help="run the waiting jobs, then stop")
    remote = parser.add_argument_group("without database access")
    remote.add_argument("--url", default="", help="URL of the server, https://HOST (CODER_URL, if there is a key)")
    remote.add_argument("--key", default="", help="provisioner key; prefer --key-file or PROVISIONER_DAEMON_KEY[_FILE]")
    remote.add_argument("--key-file", type=Path, help="file with the key")
    remote.add_argument(
        "--allow-http", action="store_true", help="allow http:// to another machine: the key is sent unencrypted"
    )


def is_remote(options: Mapping[str, Any]) -> bool:
    """Return True if the options or the environment select a daemon without database access."""
    return bool(options["url"] or options["key"] or options["key_file"] or settings.PROVISIONER_DAEMON_KEY)


def configure(given: Any, options: Mapping[str, Any], job_kinds: tuple[str, ...]) -> configuration.Configuration:
    """Return the configuration of these options."""
    return configuration.from_settings(
        given,
        job_kinds=job_kinds,
        name=options["name"],
        tags=dict(options["tag"]),
        concurrency=options["concurrency"],
        drain_seconds=options["drain_seconds"],
    )


def remote_client(options: Mapping[str, Any], chosen: configuration.Configuration) -> JobClient:
    """Return the HTTPS client of these options. Raises WrongUsage."""
    from provisioning.daemon.remote import BadAddress, RemoteClient

    if options["tag"]:
        raise WrongUsage("--tag: a daemon without database access has the tags of its key")
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
        raise WrongUsage("the key is invalid: it can contain only letters, digits and hyphens")
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
    """Run a daemon until a signal stops it; return the exit status."""
    daemon = Daemon(chosen, client, once=once)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    try:
        daemon.run()
    except (NotAccepted, Refused) as error:
        logger.error("The server rejected this daemon: %s", error)
        return REFUSED
    return 0


def run_remotely(options: Mapping[str, Any]) -> int:
    """Run a daemon without database access; return the exit status."""
    try:
        chosen = configure(settings, options, settings.JOB_KINDS)
        client = remote_client(options, chosen)
    except WrongUsage as error:
        sys.stderr.write(f"provisionerd: {error}\n")
        return WRONG_USAGE
    return run(chosen, client, once=options["once"])


def run_if_remote(arguments: Sequence[str]) -> int | None:
    """Run a daemon without database access if these arguments select one; return its exit status, else None."""
    parser = ArgumentParser(prog="manage.py provisionerd", add_help=False)
    add_arguments(parser)
    options: Namespace = parser.parse_known_args(arguments)[0]
    if {"-h", "--help"} & set(arguments) or not is_remote(vars(options)):
        return None
    _log_to_stderr()
    return run_remotely(vars(options))


def main() -> int:
    """Run ``python -m provisioning.daemon``: always a daemon without database access."""
    parser = ArgumentParser(
        prog="python -m provisioning.daemon",
        description="Claim jobs from a server over HTTPS and run them. SIGTERM: finish the running jobs and stop.",
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
