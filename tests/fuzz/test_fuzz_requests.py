"""Any request gets an answer from the studio's guard and from its pages, and never a fault."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fuzzing import Drawn, no_longer_than, tries
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("nicegui", reason='The studio needs pip install "insphere[studio]".')

from insphere.web.access import COOKIE, HEADERS, Guard

TOKEN = "a-token"
NAMES = (
    b"host", b"origin", b"cookie", b"content-length", b"referer", b"upgrade", b"accept-encoding",
    b"x-forwarded-host", b"range", b"if-none-match", b"accept-language",
)  # fmt: skip
ADDRESSES = st.sampled_from(
    [b"127.0.0.1:1", b"localhost", b"[::1]:1", b"http://localhost", b"http://[evil", b"http://evil",
     b"[", b"]", b"//", b"null", b"localhost:99999", b"localhost:x", b"localhost@evil",
     b"http://\xe9",
     b"\xff\xfe", b"\xc2\xb2", b"9" * 5000, b"-1", b"", b"a" * 70000, b"local\0host"]
)  # fmt: skip
COOKIES = st.sampled_from(
    [b"a@b=1", b'j={"a": 1}', COOKIE.encode() + b"=a-token", COOKIE.encode() + b"=\xe9", b";;;=",
    b"=",
     COOKIE.encode() + b'="a-token', b"insphere-token", b"\0=\0", b"a=b; insphere-token=a-token"]
)  # fmt: skip
QUERIES = st.sampled_from(
    [b"", b"token=a-token", b"token=", b"token=%ff", b"token=a-token&token=b", b"token", b"%",
    b"&&&",
     b"token=a-token&next=//evil", b"a=" + b"9" * 5000, b"\xff\xff=1", b"token=%ed%a0%80", b"=;=",
     b"token=a-token&x=%ed%a0%80%00"]
)  # fmt: skip
PATHS = st.sampled_from(
    ["/", "//evil.com/", "/\\evil.com", "/runs/x", "/%2e%2e/", "/../..", "/a\0b", "/\ud800", "",
    "///",
     "/" + "a" * 5000, "/download/models/../../x.zip", "/\r\nset-cookie: a=b"]
)  # fmt: skip


@st.composite
def requests(draw: Drawn) -> dict[str, Any]:
    """Draw an ASGI scope."""
    values = ADDRESSES | COOKIES | st.binary(max_size=12)
    pairs = st.tuples(st.sampled_from(NAMES) | st.binary(max_size=6), values)
    headers = draw(st.lists(pairs, max_size=5))
    if draw(st.booleans()):
        headers.append((b"host", b"localhost"))
    return {
        "type": draw(st.sampled_from(["http", "http", "websocket"])),
        "method": draw(st.sampled_from(["GET", "POST", "HEAD", "BREW"])),
        "path": draw(PATHS | st.text(max_size=8).map("/".__add__)),
        "query_string": draw(QUERIES | st.binary(max_size=10)),
        "headers": headers,
    }


async def inner(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b""})


def ask(guard: Guard, scope: dict[str, Any]) -> list[Any]:
    """Send one request; a loop of its own, since the browser's may run in this thread."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, guard(scope, receive, send)).result(30)
    return sent


@pytest.mark.parametrize("token", [None, TOKEN])
@tries(150)
@given(scope=requests())
@example(scope={"type": "http", "method": "GET", "path": "//evil.com/",
"query_string": b"token=a-token",
                "headers": [(b"host", b"localhost"), (b"origin", b"http://[evil")]})  # fmt: skip
def test_the_guard_answers_everything(token, scope):
    with no_longer_than(60):
        sent = ask(Guard(inner, token, 1000), scope)
    assert sent
    start = sent[0]
    if start["type"] == "websocket.close":
        return
    assert start["status"] in (200, 303, 401, 403, 413)
    headers = {}
    for name, value in start["headers"]:
        assert isinstance(name, bytes)
        assert isinstance(value, bytes)
        assert not set(name + value) & set(b"\r\n\0")
        headers[name.lower()] = value
    assert scope["type"] == "websocket" or headers.keys() >= HEADERS.keys()
    if start["status"] == 303:
        assert headers[b"location"].startswith(b"/")
        assert headers[b"location"][1:2] not in (b"/", b"\\")
    if start["status"] == 200 and token is not None:
        text = scope["query_string"] + b"".join(value for _, value in scope["headers"])
        assert b"a-token" in text
