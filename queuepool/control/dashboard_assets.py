"""The files of the page: read once, checked by their ETag, sent small where the browser takes gzip. Which page asks for
which file is the matter of the files themselves, in assets/."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}
_NAME = re.compile(r"[a-z][A-Za-z0-9_-]*(\.[a-z]+)+").fullmatch
_TEMPLATES = ("index.html", "login.html")
"""Those are filled in before they are sent."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. packed: gzipped."""

    content: bytes
    packed: bytes
    tag: str
    type: str


@cache
def load(name: str) -> Asset | None:
    """A file of assets/ by its name; None when there is none, or it is not to be sent."""
    kind = TYPES.get(name.rpartition(".")[2])
    if kind is None or not _NAME(name):
        return None
    file = files("queuepool.control") / "assets" / name
    if not file.is_file():
        return None
    content = file.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    return Asset(content, gzip.compress(content, 9, mtime=0), tag, kind)


def answer(request: Request, name: str) -> Response:
    """The answer to a request for a file. A browser keeps it and asks each time whether it is still the same, so a new
    version of queuepool never meets the files of an old one."""
    asset = load(name) if name not in _TEMPLATES else None
    if asset is None:
        return Response("there is no such file\n", 404, media_type="text/plain")
    headers = {"Cache-Control": "no-cache", "ETag": asset.tag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(asset.packed if packed else asset.content, headers=headers, media_type=asset.type)


def template(name: str) -> str:
    """The text of a page that is to be filled in."""
    asset = load(name)
    assert asset is not None, f"{name} belongs to the package"
    return asset.content.decode()
