"""Who may ask: the token, the Host and Origin checks, and the headers of every answer."""

from __future__ import annotations

import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "pathosig_token"
LOCAL_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""A Host header of this machine, whole: nothing may stand before or after it."""
WRITABLE = re.compile(r"/api/(?:hpcs|groups)/\d{1,5}|/api/arrays/[0-9a-f]{20}/cores")
"""The two addresses that take a POST: the name of an HPC, and the place of a core."""
MOST_BYTES = 4096
POLICY = (
    b"default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"style-src 'self' 'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
)
"""What the pages may load; the hash is that of the one style sheet OpenSeadragon adds."""

REPORT_POLICY = (
    b"default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
"""The report carries its styles and pictures inside, and has no scripts: its own policy, which the pages' would override."""

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


class Guard:
    """ASGI middleware: refuses foreign hosts, foreign origins, writing methods and missing tokens.

    Parameters
    ----------
    app
        The application behind it.
    token
        The secret of this run; accepted as ``?token=``, as a bearer token, or as the cookie that the
        first page sets.
    read_only
        Whether names of HPCs and cores may not be changed either.
    """

    def __init__(self, app: ASGIApp, *, token: str, read_only: bool = True) -> None:
        """Stand before `app`."""
        self.app = app
        self.token = token
        self.read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = REPORT_POLICY if scope["path"] == "/report" else POLICY
                headers = [*message.get("headers", ()), *HEADERS, (b"content-security-policy", policy)]
                message = {**message, "headers": headers}
            await send(message)

        problem = refusal(scope, self.token, read_only=self.read_only)
        if problem is None:
            await self.app(scope, receive, send_with_headers)
        else:
            await _answer(send_with_headers, *problem)


def refusal(scope: Scope, token: str, *, read_only: bool = True) -> tuple[int, str] | None:
    """Status and reason when a request must not pass, else None."""
    headers = {k.lower(): v.decode("latin-1") for k, v in scope["headers"]}
    host = headers.get(b"host", "")
    if not LOCAL_HOST.fullmatch(host):
        return 421, "This viewer answers to 127.0.0.1 and localhost only."
    origin = headers.get(b"origin")
    if origin is not None and origin != f"http://{host}":
        return 403, "Requests from other pages are refused."
    if headers.get(b"sec-fetch-site") == "cross-site":
        return 403, "Requests from other sites are refused."
    if not any(secrets.compare_digest(t.encode(), token.encode()) for t in _tokens(scope, headers)):
        return 401, "Open the address that `pathosig view` printed: it carries the token."
    if scope["method"] in ("GET", "HEAD"):
        return None
    return _refused_change(scope, headers, read_only)


def _refused_change(scope: Scope, headers: dict[bytes, str], read_only: bool) -> tuple[int, str] | None:
    """Why a request that would write is refused; only a name of an HPC or a core, from the viewer's own page, is not."""
    if scope["method"] != "POST" or not WRITABLE.fullmatch(scope["path"]):
        return 405, "The viewer is read-only."
    if read_only:
        return 403, "The viewer was started with --read-only."
    if b"origin" not in headers:
        return 403, "A change must come from the viewer's own page."
    if headers.get(b"content-type", "").split(";")[0].strip() != "application/json":
        return 415, "Expected application/json."
    length = headers.get(b"content-length", "")
    if not length.isdigit() or int(length) > MOST_BYTES:
        return 413, f"Expected at most {MOST_BYTES} bytes, and their count in Content-Length."
    return None


def _tokens(scope: Scope, headers: dict[bytes, str]) -> list[str]:

    tokens = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])[:1]
    bearer = headers.get(b"authorization", "")
    if bearer.startswith("Bearer "):
        tokens.append(bearer.removeprefix("Bearer "))
    try:
        jar = SimpleCookie(headers.get(b"cookie", ""))
    except CookieError:
        return tokens
    if COOKIE in jar:
        tokens.append(jar[COOKIE].value)
    return tokens


async def _answer(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
