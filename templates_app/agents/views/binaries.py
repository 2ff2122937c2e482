"""The agent's programs, which the scripts of agents fetch: our own, from a folder, or elsewhere (decision 16).

Public, because a machine that has no program yet has no token to show. Not below the API's root, so it answers in plain
text and without the API's headers.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseNotModified, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from django.views.decorators.http import require_safe

from coderproj.web import addresses
from coderproj.web.environ import STREAMS
from coderproj.web.replies import Handover
from templates_app.agents.downloads import TEXT, Download
from templates_app.agents.program import agent

NAME = re.compile(r"coder-(?:linux-(?:amd64|arm64|armv7)|darwin-(?:amd64|arm64)|windows-(?:amd64|arm64)\.exe)")
PIECE = 1024 * 1024
NOT_FOR_WINDOWS = (
    "This server has no agent for Windows, because its own is a shell script."
    " An administrator can set AGENT_BINARIES to a folder or an address with programs."
)


@require_safe
def binary(request: HttpRequest, name: str) -> HttpResponseBase:
    """Return the program for an operating system and architecture, or redirect to it. 404 for other names. Without
    AGENT_BINARIES this is our own agent, which Windows cannot run."""
    if not NAME.fullmatch(name):
        return _missing("There is no such program here.")
    if not settings.AGENT_BINARIES:
        return _missing(NOT_FOR_WINDOWS) if name.endswith(".exe") else _own_agent(request)
    if settings.AGENT_BINARIES.startswith("http"):
        return HttpResponseRedirect(f"{settings.AGENT_BINARIES}/{name}")
    path = Path(settings.AGENT_BINARIES) / name
    try:
        facts = path.stat()
        etag = f'"{_hash(path, facts.st_mtime_ns, facts.st_size)}"'
        if etag in parse_etags(request.headers.get("If-None-Match", "")):
            return HttpResponseNotModified(headers={"ETag": etag})
        response: HttpResponseBase
        if request.method == "GET" and request.META.get(STREAMS):
            meta = request.META
            address = addresses.caller(
                meta["REMOTE_ADDR"], meta.get("HTTP_X_FORWARDED_FOR", ""), settings.TRUSTED_PROXIES
            )
            response = Handover(Download(path, addresses.network(address or "")))
        else:
            response = FileResponse(path.open("rb"), content_type="application/octet-stream")
    except OSError:
        return _missing(f"There is no program {name} here.")
    response["ETag"] = etag
    response["Content-Encoding"] = "identity"  # programs are not compressed with each request
    return response


def _own_agent(request: HttpRequest) -> HttpResponse:
    """Return our own agent. It is short, so the server sends it without a thread."""
    program = agent()
    etag = f'"{_hash_of(program)}"'
    if etag in parse_etags(request.headers.get("If-None-Match", "")):
        return HttpResponseNotModified(headers={"ETag": etag})
    # Not compressed: the middleware would weaken the tag.
    headers = {"ETag": etag, "Content-Encoding": "identity"}
    return HttpResponse(program, content_type="application/octet-stream", headers=headers)


def _missing(reason: str) -> HttpResponse:
    return HttpResponse(f"{reason}\n", status=404, content_type=TEXT)


@lru_cache(maxsize=1)
def _hash_of(program: bytes) -> str:
    return hashlib.sha1(program, usedforsecurity=False).hexdigest()


@lru_cache(maxsize=32)
def _hash(path: Path, modified_ns: int, size: int) -> str:
    """Return the SHA-1 of a file, read again when it has changed. Raises OSError."""
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
