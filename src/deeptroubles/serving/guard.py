"""Who may ask: only pages of this server, with its token, under a name of this machine."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MAX_BODY = 32 * 2**20
"""Bytes of a request."""
SAFE = {"GET", "HEAD"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
"""The page may load and ask nothing but this server."""
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """Refuses requests under a foreign name, from a foreign page, without the token, or with too much in them.

    The name (Host) is checked against DNS rebinding; the page (Origin) and the cookie (SameSite) against requests that
    another site makes; the token against other users of this machine. `/?token=...` puts the token into a cookie.

    Args:
        app: What is guarded.
        token: The token.
        hosts: The names under which the server may be asked; none: any, for a server that others may reach.
        root_path: Where a proxy puts the server, such as `/tools/troubles`.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str] = LOOPBACK, root_path: str = "") -> None:
        self._app, self._token, self._hosts, self._root_path = app, token, hosts, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the request through."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = self._refusal(request)
        if refusal:
            await PlainTextResponse(refusal[1], refusal[0], _HEADERS)(scope, receive, send)
            return
        given = request.query_params.get("token")
        if given is not None and request.method == "GET":
            await self._let_in(request, given)(scope, receive, send)
            return
        if scope["path"].startswith("/api") and not self._knows_token(request):
            text = "The token is missing or wrong. Open the address that `deeptroubles serve` printed."
            await PlainTextResponse(text, 401, _HEADERS)(scope, receive, send)
            return
        await self._app(scope, _bounded(receive), _with_headers(send))

    def _refusal(self, request: Request) -> tuple[int, str] | None:
        headers = request.headers
        host = _name(headers.get("host", ""))
        if host is None or (self._hosts and host not in self._hosts):
            return 400, f"This server is not called {headers.get('host', '')!r}."
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != headers.get("host")
        if foreign or (headers.get("sec-fetch-site") == "cross-site" and request.scope["path"].startswith("/api")):
            return 403, "Another page may not ask this server."
        if request.method not in SAFE and _length(headers) > MAX_BODY:
            return 413, f"A request may have {MAX_BODY // 2**20} MB."
        return None

    def _knows_token(self, request: Request) -> bool:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else request.cookies.get(self._cookie(request), "")
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _let_in(self, request: Request, given: str) -> PlainTextResponse | RedirectResponse:
        """Put the right token into a cookie, and go on without it in the address."""
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse("The token is wrong.", 401, _HEADERS)
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "token"]
        path = f"{self._root_path}{request.scope['path']}" + (f"?{urlencode(rest)}" if rest else "")
        answer = RedirectResponse(f"/{path.lstrip('/')}", 303, _HEADERS)
        answer.set_cookie(
            self._cookie(request), self._token, httponly=True, samesite="strict", path=self._root_path or "/"
        )
        return answer

    @staticmethod
    def _cookie(request: Request) -> str:
        """Browsers share cookies among the ports of a host, so the port is in the name."""
        return f"deeptroubles-{request.url.port or 80}"


def _name(host: str) -> str | None:
    """The name in a Host header, without its port; None where it is not a name with or without a port."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is not the number of a port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() else MAX_BODY + 1


def _bounded(receive: Receive) -> Receive:
    """A body that ends the request where it is longer than it may be, whatever its header said."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return message if seen <= MAX_BODY else {"type": "http.disconnect"}

    return bounded


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
