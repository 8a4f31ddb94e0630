"""What the fuzz tests share: how many examples to try, and ways to damage good input."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Drawn = Callable[[st.SearchStrategy[Any]], Any]

USUAL = 100  # examples of a property under the usual profiles


def tries(count: int) -> settings:
    """Return settings with this many examples, and more under the profile ``fuzz``."""
    factor = settings.default.max_examples / USUAL
    return settings(
        max_examples=max(1, round(count * factor)),
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large,
        ],
    )  # fmt: skip


class Hangs(Exception):
    """Something waits for ever."""


@contextlib.contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Fail where something hangs, for example on a pipe that nobody writes to."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise Hangs(f"Still busy after {seconds} s.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check_sentence(message: str, given: int = 0) -> None:
    """Check that a refusal is short, on one line and without internals.

    Parameters
    ----------
    message : str
        What is said.
    given : int
        Characters that the user gave, which it may repeat.
    """
    assert message.strip(), "an empty message"
    assert "\n" not in message, message
    assert "Traceback" not in message, message
    assert len(message) < 1500 + 4 * given, message


# ---------------------------------------------------------------------- bytes


@st.composite
def damaged(draw: Drawn, content: bytes) -> bytes:
    """Change, insert, repeat, cut out or cut off some bytes."""
    result = bytearray(content)
    for _ in range(draw(st.integers(1, 5))):
        if not result:
            break
        at = draw(st.integers(0, len(result) - 1))
        how = draw(st.sampled_from(["set", "flip", "zero", "insert", "delete", "repeat", "cut"]))
        if how == "set":
            result[at] = draw(st.integers(0, 255))
        elif how == "flip":
            result[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "zero":
            stop = at + draw(st.integers(1, 8))
            result[at:stop] = draw(st.sampled_from([b"\0", b"\xff"])) * len(result[at:stop])
        elif how == "insert":
            result[at:at] = draw(st.binary(min_size=1, max_size=8))
        elif how == "delete":
            del result[at : at + draw(st.integers(1, 16))]
        elif how == "repeat":
            result[at:at] = result[at : at + draw(st.integers(1, 64))]
        else:
            del result[at:]
    return bytes(result)


# ---------------------------------------------------------------------- values

ODD_NUMBERS = st.sampled_from(
    [0, -1, 1, 2, 255, 65536, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e-320, 3e38, 1e300]
)
ODD_TEXT = st.sampled_from(
    ["", " ", "\0", "a\nb", "\x1b[2J", "../..", "/", "x" * 300, "é\ud800", "2024-01-31", "~", "null",
     "=cmd()", "'; drop table runs", "<script>", "{x}", "%s", "[red]", "all", "true", "1e999"]
)  # fmt: skip
ODD = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@st.composite
def altered(draw: Drawn, value: Any) -> Any:
    """Return a JSON value in which one to three places hold something else, or nothing."""
    result = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        here: Any = result
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inside = here[key]
            if isinstance(inside, dict | list) and inside and draw(st.integers(0, 3)):
                here = inside
                continue
            how = draw(st.sampled_from(["replace", "remove", "twice"]))
            if how == "remove":
                del here[key]
            elif how == "twice" and isinstance(here, list):
                here.insert(key, inside)
            else:
                here[key] = draw(ODD)
            break
    return result


def folder_contents(folder: str | os.PathLike[str]) -> set[str]:
    """Return the paths of everything below a folder."""
    found = set()
    for root, folders, files in os.walk(folder):
        found |= {os.path.relpath(os.path.join(root, name), folder) for name in (*folders, *files)}
    return found
