"""Access to a server: from this computer, or with a token.

A page of another site must not be able to use a server on the visitor's computer. So a request must
name the right host, and must not come from a page of another origin.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "insphere-token"
LOCAL = ("127.0.0.1", "localhost", "::1")

# NiceGUI and Vue use inline scripts and styles, so these are allowed. Nothing is fetched from other
# hosts, no other site may frame a page, and a token in an address is never sent on.
HEADERS = {
    b"content-security-policy": b"default-src 'self'; script-src 'self' 'unsafe-inline' "
    b"'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    b"font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    b"form-action 'self'; frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
_PAGE = (
    "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    "<title>insphere {program}</title><body style='font:17px/1.5 system-ui;max-width:32rem;"
    "margin:18vh auto;padding:0 1.5rem'><h1 style='font-size:1.4rem'>{title}</h1><p>{text}</p>"
)


class Guard:
    """An ASGI middleware that checks each request.

    Parameters
    ----------
    app : callable
        The application behind it.
    token : str or None
        The token that a request needs. None accepts all requests that name a local host.
    limit : int
        Largest size of a request in bytes.
    program : str
        The command that serves, for messages.
    as_json : bool
        Refuse with a JSON object instead of a page, and keep no token in a cookie.
    open_paths : tuple of str
        Beginnings of paths that anyone may ask for.
    """

    def __init__(
        self,
        app: App,
        token: str | None,
        limit: int,
        program: str = "studio",
        as_json: bool = False,
        open_paths: tuple[str, ...] = (),
    ) -> None:
        self.app, self.token, self.limit, self.program = app, token, limit, program
        self.as_json, self.open_paths = as_json, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, receive, send, self.program, *refusal, as_json=self.as_json)
            return
        given = parse_qs(scope["query_string"].decode("latin-1"))
        keeps = self.token is not None and not self.as_json
        if keeps and "token" in given and scope["type"] == "http":
            await self._keep_token(scope, given, send)
            return
        await self.app(scope, _limited(receive, self.limit), _guarded(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, str] | None:
        if self.open_paths and scope["path"].startswith(self.open_paths):
            return None
        host = headers.get("host", "")
        if self.token is None and _name(f"//{host}") not in LOCAL:
            return (
                403,
                "Wrong host",
                f"This {self.program} can be used only from the computer that it runs on.",
            )
        origin = headers.get("origin")
        if origin and _place(origin) != host:
            return 403, "Wrong origin", f"A page of another site tried to use this {self.program}."
        length = headers.get("content-length", "0")
        if not (length.isdecimal() and len(length) < 20 and int(length) <= self.limit):
            limit = self.limit // 1_000_000
            return 413, "Too large", f"An upload can have at most {limit} MB."
        if self.token is not None and not self._has_token(scope, headers):
            text = (
                "Send the token in the header Authorization, as Bearer TOKEN."
                if self.as_json
                else f"Open the address that <code>insphere {self.program}</code> printed. It "
                "contains the token."
            )
            return 401, "A token is needed", text
        return None

    def _has_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        token = (self.token or "").encode()
        query = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        given = [query, *_cookies(headers.get("cookie", ""), COOKIE)]
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            given.append(bearer.strip())
        checks = [hmac.compare_digest(one.encode(), token) for one in given]
        return any(checks)

    async def _keep_token(self, scope: Scope, given: dict[str, list[str]], send: Send) -> None:
        """Store the token in a cookie, and redirect to the address without it."""
        rest = urlencode({key: value for key, value in given.items() if key != "token"}, doseq=True)
        # Exactly one slash: an address that starts with two leads to another host.
        path = "/" + quote(scope["path"], safe="/", errors="replace").lstrip("/")
        target = path + (f"?{rest}" if rest else "")
        cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
        headers = [
            (b"location", target.encode("ascii")),
            (b"set-cookie", cookie.encode()),
            (b"content-length", b"0"),
        ]
        send = _guarded(send)
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str | None:
    """Return host and port of an origin; None if it is not an address."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _cookies(header: str, name: str) -> list[str]:
    """Return the values of one cookie. All others are ignored, even malformed ones."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    return [value.strip('"') for key, _, value in pairs if key == name]


def _guarded(send: Send) -> Send:
    """Add the security headers, and remove headers that would give other sites access."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (key, value)
                for key, value in message.get("headers", ())
                if not key.lower().startswith(b"access-control-") and key.lower() not in HEADERS
            ]
            message = {**message, "headers": [*kept, *HEADERS.items()]}
        await send(message)

    return guarded


def _limited(receive: Receive, limit: int) -> Receive:
    """Disconnect a request whose body is longer than the limit."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                return {"type": "http.disconnect"}
        return message

    return limited


async def _refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    program: str,
    status: int,
    title: str,
    text: str,
    *,
    as_json: bool = False,
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    page = _PAGE.format(program=program, title=title, text=text)
    body = (json.dumps({"error": text}) if as_json else page).encode()
    kind = b"application/json" if as_json else b"text/html; charset=utf-8"
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        *HEADERS.items(),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
