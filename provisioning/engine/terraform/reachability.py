"""Check whether a server answers at all, before Terraform waits for it once for each provider."""

import ssl
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_REASON_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Reach:
    """The result: ``reason`` is why the server cannot be reached, "" if it answers. ``is_certain`` is False if only
    Terraform can tell, because Python does not trust the server's certificate.
    """

    reason: str = ""
    is_certain: bool = True


def probe(url: str, seconds: float) -> Reach:
    """Request ``url``, within ``seconds``. Any answer below 500 counts. Proxies of the environment are used."""
    found: list[Reach] = []
    thread = threading.Thread(target=lambda: found.append(_ask(url, seconds)), name="reachability", daemon=True)
    thread.start()
    thread.join(seconds + 0.5)  # a lookup of a name has no timeout of its own
    return found[0] if found else _silent(seconds)


def _ask(url: str, seconds: float) -> Reach:
    if urlsplit(url).scheme not in ("http", "https"):
        return Reach(is_certain=False)
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 (http or https)
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds):
            return Reach()
    except urllib.error.HTTPError as error:
        with error:
            return Reach(f"HTTP status {error.code}" if error.code >= 500 else "")
    except TimeoutError:
        return _silent(seconds)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            return Reach(is_certain=False)
        if isinstance(error.reason, TimeoutError):
            return _silent(seconds)
        return Reach(str(getattr(error.reason, "strerror", None) or error.reason)[:MAX_REASON_LENGTH])
    except (OSError, ValueError) as error:
        return Reach((str(error) or type(error).__name__)[:MAX_REASON_LENGTH])


def _silent(seconds: float) -> Reach:
    return Reach(f"no answer within {seconds:g} s")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats a redirection as an answer."""

    def redirect_request(self, *_arguments: object) -> None:
        return None
