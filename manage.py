#!/usr/bin/env python
"""Django's command line for coderproj."""

import os
import sys

from coderproj import __version__


def main() -> None:
    if sys.argv[1:] in (["version"], ["--version"]) or sys.argv[2:] == ["--version"]:
        print(f"coderproj {__version__}")  # Django would print its own version
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderproj.settings")
    if sys.argv[1:2] == ["provisionerd"]:
        # A daemon without database access runs without Django.
        from provisioning.daemon.command_line import run_if_remote

        status = run_if_remote(sys.argv[2:])
        if status is not None:
            sys.exit(status)
    if sys.argv[1:] == ["worker"]:
        # So does a worker, which mostly waits.
        from django.conf import settings

        from coderproj.worker.running import main as run_worker
        from coderproj.worker.tasks import periodic_tasks

        run_worker(periodic_tasks(settings.PERIODIC_TASKS))
        return
    if sys.argv[1:2] == ["relay"]:
        # And a relay, which only passes packets on.
        from templates_app.agents.relay.command_line import main as run_relay

        run_relay(sys.argv[2:])
        return
    if sys.argv[1:2] == ["up"]:
        # And the process that starts and watches all of them.
        from coderproj.management.serving import main as serve

        sys.exit(serve(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
