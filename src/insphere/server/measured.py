"""A middleware that counts, times and logs requests, and ends those that are too many or too long.

It is plain ASGI: a middleware of Starlette would start two tasks for each request.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time

from insphere.server.metrics import Metrics
from insphere.server.settings import ServerSettings
from insphere.web.access import App, Message, Receive, Scope, Send

log = logging.getLogger("insphere.server")
OPEN_PATHS = ("/v2/health/",)
"""Beginnings of paths that anyone may ask for, and that are not counted: probes."""


class Measured:
    """The middleware.

    Parameters
    ----------
    app : callable
        The application behind it.
    metrics : Metrics
        Where measurements go.
    settings : ServerSettings
        How many requests at a time, and how long one may take.
    """

    def __init__(self, app: App, metrics: Metrics, settings: ServerSettings) -> None:
        self.app, self.metrics, self.settings = app, metrics, settings
        self.now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"].startswith(OPEN_PATHS):
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        self.now += 1
        try:
            if self.now > self.settings.requests:
                said = "Too many requests are in progress; ask again later."
                await _answer(noting, 429, said, [(b"retry-after", b"1")])
            else:
                async with asyncio.timeout(self.settings.timeout):
                    await self.app(scope, receive, noting)
        except TimeoutError:
            if status:  # the answer has begun and cannot be taken back
                raise
            said = f"The request took longer than {self.settings.timeout:g} seconds."
            await _answer(noting, 504, said)
        finally:
            self.now -= 1
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.answered(route, status, seconds)
        fields = {
            "method": scope["method"],
            "route": route,
            "model": scope.get("path_params", {}).get("name"),
            "status": status,
            "ms": round(1000 * seconds, 2),
            "samples": scope.get("state", {}).get("samples"),
        }
        log.info("request", extra={"fields": fields})


async def _answer(
    send: Send, status: int, said: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = json.dumps({"error": said}).encode()
    described = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *(headers or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": described})
    await send({"type": "http.response.body", "body": body})
