"""Clients of a server that cost little themselves, so that the server is measured and not they.

Requests are bytes made before the clock starts, sent over connections that stay open. Answers are
kept as bytes and read after the clock has stopped. One process of these clients sends several
thousand requests a second; the usual client packages need a millisecond for each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

BEYOND = 60.0  # seconds after the end for answers that are still to come


def request(path: str, body: bytes, kind: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return one POST request as it is sent."""
    lines = [
        f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}",
        f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers),
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


@dataclass(frozen=True)
class Answered:
    """One answer.

    Parameters
    ----------
    place : int
        Which request it answers.
    seconds : float
        From the moment at which the request was due to the last byte of the answer.
    status : int
        Status of HTTP.
    head, body : bytes
        As received.
    """

    place: int
    seconds: float
    status: int
    head: bytes
    body: bytes


@dataclass
class Connection(asyncio.Protocol):
    """One connection that sends a request at a time."""

    transport: asyncio.Transport | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Collect an answer."""
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        assert self._answer is not None
        self._answer.set_result((int(head[9:12]), head, body))

    def connection_lost(self, error: Exception | None) -> None:
        """Say that there will be no answer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server hung up"))

    async def ask(self, content: bytes) -> tuple[int, bytes, bytes]:
        """Send a request; its status, head and body."""
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(content)
        return await self._answer


async def connections(port: int, count: int) -> list[Connection]:
    """Open connections to a server on this computer."""
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port))[1] for _ in range(count)]


async def closed_loop(
    port: int, requests: Sequence[bytes], clients: int, seconds: float
) -> tuple[list[Answered], float]:
    """Let each client ask again as soon as it is answered.

    Returns
    -------
    list of Answered, float
        The answers, and the seconds from the first request to the last answer.
    """
    opened = await connections(port, clients)
    answers: list[Answered] = []
    began = time.perf_counter()
    end = began + seconds

    async def client(first: int, connection: Connection) -> None:
        place = first
        while True:
            started = time.perf_counter()
            if started >= end:
                return
            place = (place + 1) % len(requests)
            status, head, body = await connection.ask(requests[place])
            took = time.perf_counter() - started
            answers.append(Answered(place, took, status, head, body))

    await asyncio.gather(*(client(7 * i, one) for i, one in enumerate(opened)))
    took = time.perf_counter() - began
    _close(opened)
    return answers, took


async def open_loop(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, clients: int
) -> tuple[list[Answered], float]:
    """Send requests at a fixed rate, whether earlier ones are answered or not.

    A request that finds all `clients` connections in use waits for one. Its time counts from when
    it was due, so that a slow answer is not hidden by later requests that were not sent.

    Returns
    -------
    list of Answered, float
        The answers, and the seconds from the first request to the last answer.
    """
    opened = await connections(port, clients)
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    for one in opened:
        idle.put_nowait(one)
    answers: list[Answered] = []
    began = time.perf_counter()

    async def ask(place: int, due: float) -> None:
        connection = await idle.get()
        status, head, body = await connection.ask(requests[place])
        answers.append(Answered(place, time.perf_counter() - due, status, head, body))
        idle.put_nowait(connection)

    tasks = []
    for number in range(int(rate * seconds)):
        due = began + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.ensure_future(ask(number % len(requests), due)))
    await asyncio.wait_for(asyncio.gather(*tasks), BEYOND)
    took = time.perf_counter() - began
    _close(opened)
    return answers, took


def _close(opened: Sequence[Connection]) -> None:
    for one in opened:
        assert one.transport is not None
        one.transport.close()
