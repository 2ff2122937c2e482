"""The bounded processes of the web server, for what authors of templates wrote."""

import asyncio
from collections.abc import Callable
from functools import partial

from django.http import HttpRequest

from coderproj.base.bounded import Pool
from coderproj.web.environ import is_gone
from templates_app.tasks.comparison import COMPARE
from templates_app.tasks.markdown import RENDER
from templates_app.tasks.preview import PREVIEW

POOL = Pool((COMPARE, PREVIEW, RENDER))


class BoundedProcesses:
    """Starts the first process with the web server, before a page needs it, and ends all with the server."""

    key = "bounded_processes"

    async def start(self) -> None:
        await asyncio.to_thread(POOL.warm_up)

    async def end_streams(self, timeout: float) -> None:
        """Do nothing: the processes serve requests, not streams."""

    async def stop(self) -> None:
        await asyncio.to_thread(POOL.close)


def gone(request: HttpRequest) -> Callable[[], bool]:
    """Return a function that tells whether the request's client has disconnected."""
    return partial(is_gone, request.META)


SERVICES = [BoundedProcesses]
