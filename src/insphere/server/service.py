"""What the addresses of a server share: models, bodies within the limits, and scores in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from insphere.runtime.scorer import Scores
from insphere.server.engines import Engine
from insphere.server.models import Busy, Models, ServedModel
from insphere.server.settings import ServerSettings


class Refused(Exception):  # noqa: N818 (an answer)
    """An answer in one sentence, with its status."""

    def __init__(self, status: int, said: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(said)
        self.status, self.said, self.headers = status, said, headers


class Service:
    """What the addresses share: the models, bodies within the limits, and scores in time.

    Parameters
    ----------
    models : Models
        Of the server.
    settings : ServerSettings
        Limits.
    """

    def __init__(self, models: Models, settings: ServerSettings) -> None:
        self.models, self.settings = models, settings

    def model(self, name: str) -> ServedModel:
        """Return a model by its name.

        Raises
        ------
        Refused
            If there is none.
        """
        found = self.models.by_name.get(name)
        if found is None:
            known = ", ".join(self.models.by_name)
            raise Refused(404, f"There is no model {name[:100]!r}; there are {known}.")
        return found

    async def body(self, request: Request) -> bytes:
        """Return the body of a request.

        Raises
        ------
        Refused
            If it is too large, or empty.
        """
        limit = self.settings.limits.bytes
        parts, size = [], 0
        try:
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise Refused(413, f"A request has at most {limit // 1_000_000} MB.")
                parts.append(part)
        except ClientDisconnect:
            raise Refused(400, "The request ended before its body.") from None
        if not size:
            raise Refused(400, "The request has no body.")
        return b"".join(parts)

    async def decoded(self, decode: Callable[[], Any]) -> Any:
        """Run a decoder in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.models.decoding, decode)

    async def scored(
        self, model: ServedModel, samples: Any, *, maps: bool = False
    ) -> tuple[Engine, Scores]:
        """Score samples, or refuse them if too many wait."""
        try:
            return await model.score(samples, maps=maps)
        except Busy as busy:
            raise Refused(
                429,
                "Too many samples wait for this model; ask again later.",
                {"Retry-After": str(min(60, round(busy.seconds)))},
            ) from None
