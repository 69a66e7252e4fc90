"""The page: files that never change while the server runs. What they show they fetch from the API like anybody."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_INDEX = "index.html"


def page_routes() -> list[BaseRoute]:
    """`/` and `/static/...`."""
    pages = {name: _File(name, data) for name, data in _read(files("service.http") / "static")}

    async def index(request: Request) -> Response:
        return pages[_INDEX].answer(request)

    async def static(request: Request) -> Response:
        found = pages.get(request.path_params["path"])
        return PlainTextResponse("There is no such file.\n", 404) if found is None else found.answer(request)

    return [Route("/", index), Route("/static/{path:path}", static)]


class _File:
    """A file, and what names its content."""

    def __init__(self, name: str, data: bytes) -> None:
        self._data, self._kind = data, _KINDS[name[name.rindex(".") :]]
        self._etag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'

    def answer(self, request: Request) -> Response:
        """The file, or nothing where the browser has it."""
        headers = {"etag": self._etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == self._etag:
            return Response(status_code=304, headers=headers)
        return Response(self._data, media_type=self._kind, headers=headers)


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _read(item, f"{prefix}{item.name}/")
        elif item.name[item.name.rfind(".") :] in _KINDS:
            found.append((prefix + item.name, item.read_bytes()))
    return found
