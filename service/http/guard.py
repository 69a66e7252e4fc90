"""What protects people behind browsers: only pages of this very server may call it, and no page of it runs or shows
anything that did not come from here.

Without keys, whoever reaches the port may call. A web page elsewhere must not, though the browser that shows it runs
on this machine: neither directly (`Origin`) nor by a name that its owner points at 127.0.0.1 (`Host`).
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.listening import is_loopback

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_ALWAYS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_OURS = ("same-origin", "none")
_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


class Guard:
    """Surrounds the application. `names`: under which it may be called beside loopback; None: under any."""

    def __init__(self, app: ASGIApp, names: Collection[str] | None) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        problem = self._problem(Headers(scope=scope), scope["scheme"], scope["path"])
        if problem:
            info = {"@type": _INFO, "reason": "NOT_ALLOWED", "domain": "interleaf", "metadata": {}}
            error = {"code": 403, "status": "PERMISSION_DENIED", "message": problem, "details": [info]}
            await JSONResponse({"error": error}, 403)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _problem(self, headers: Headers, scheme: str, path: str) -> str:
        host = headers.get("host", "")
        if self._names is not None and not _is_known(host, self._names):
            return f"this server is not {_short(host)}: list that name in http.names"
        origin = headers.get("origin")
        if origin is not None and origin not in (f"{scheme}://{host}", f"https://{host}"):
            return f"pages of {_short(origin)} may not call this server"
        if path.startswith("/v1/") and headers.get("sec-fetch-site", "none") not in _OURS:
            return "pages of other sites may not call this server"
        return ""


def _is_known(host: str, names: Collection[str]) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host
    return is_loopback(name) or name.lower() in names


def _short(text: str) -> str:
    return ascii(text[:100])
