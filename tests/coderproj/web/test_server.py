"""The command line of the web server."""

import gc
import os
import subprocess
import sys
from pathlib import Path

from coderproj.web import server as web_server
from coderproj.web.addresses import free_port

ROOT = Path(__file__).parents[3]


def start(**environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "coderproj.web.server", "--port", str(free_port())]
    variables = {**os.environ, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_the_server_is_pinned_only_on_request():
    cpu = max(os.sched_getaffinity(0))
    for given, expected in (("", os.sched_getaffinity(0)), (str(cpu), {cpu})):
        with start(WEB_CPUS=given) as server:
            assert server.stdout is not None
            server.stdout.readline()  # the URL, printed when the server listens
            try:
                assert os.sched_getaffinity(server.pid) == expected
            finally:
                server.kill()


def test_a_missing_cpu_is_reported():
    with start(WEB_CPUS="4095") as server:
        _, errors = server.communicate(timeout=60)
    assert server.returncode == 1
    assert "WEB_CPUS: cannot use the CPUs [4095]" in errors


def test_the_garbage_collector_skips_what_exists_at_the_start():
    kept = gc.get_freeze_count()
    made = [[number] for number in range(1000)]
    gc.disable()
    web_server.keep_startup_objects()
    assert gc.isenabled()
    assert gc.get_freeze_count() >= kept + len(made)
