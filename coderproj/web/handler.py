"""Django's request handler for our web server: an environ in, a response out."""

import warnings

from django.conf import settings
from django.core import signals
from django.core.cache import close_caches
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIRequest
from django.db import close_old_connections, reset_queries
from django.http.response import HttpResponseBase

from coderproj.web.bridge import Environ


class Handler(BaseHandler):
    """Django with its middleware, called from many threads.

    ``WSGIHandler`` without what is of no use here: there is no prefix of script names, and the bridge takes the
    response as it is. That and the signals of a request were a tenth of what a short read took.
    """

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            # Where static files were not collected, they are served from their source folders.
            warnings.filterwarnings("ignore", message="No directory at")
            self.load_middleware()

    def __call__(self, environ: Environ) -> HttpResponseBase:
        """The response to a request, also to one that failed; the caller closes it, which ends the request.

        Raises what is no Exception (SystemExit), for which Django has no response; that ends the request, too.
        """
        signals.request_started.send(sender=Handler, environ=environ)
        try:
            response = self.get_response(WSGIRequest(environ))
        except BaseException:
            signals.request_finished.send(sender=Handler)
            raise
        response._handler_class = Handler  # type: ignore[attr-defined]  # noqa: SLF001 - the sender when it is closed
        return response


def leave_out_idle_receivers() -> None:
    """Disconnect those of Django's receivers that have nothing to do in a process of the web server.

    Connections that are too old are closed at the end of each request; at its start a thread has none. The cache is in
    memory and holds no connection. Queries are kept for DEBUG only.
    """
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_caches)
    if not settings.DEBUG:
        signals.request_started.disconnect(reset_queries)
