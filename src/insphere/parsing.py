"""Safe parsing of JSON and YAML within limits.

Size, nesting and expansion are checked before any value is built. The result consists only of None,
booleans, finite numbers, text, lists, and dictionaries with unique text keys. So callers need no
further checks of this kind. Invalid text raises `ParseError`, whose message is a clause that
continues "FILE …".
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from insphere.safe_text import shown_path

if TYPE_CHECKING:
    import yaml

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_LARGEST = 2**64  # of whole numbers, which everything behind counts with
_MOST_NAME_BYTES, _MOST_PATH_BYTES = 255, 4095


class ParseError(ValueError):
    """An error in a text, as a clause: ``"is not JSON: …"``."""


@dataclass(frozen=True)
class Limits:
    """Limits of what is read.

    Parameters
    ----------
    bytes : int
        Size of the text.
    items : int
        Number of values, with aliases expanded.
    depth : int
        Depth of nested lists and dictionaries.
    """

    bytes: int
    items: int
    depth: int


# The history of a model can be long; settings are written by people.
JSON_LIMITS = Limits(bytes=64 << 20, items=2_000_000, depth=100)
YAML_LIMITS = Limits(bytes=256 << 10, items=20_000, depth=30)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; pipes and devices are not opened for reading.

    Raises
    ------
    ParseError
        If it is not a regular file.
    OSError
        If it cannot be read.
    """
    check_path(path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ParseError("is not a file")
    return os.fdopen(descriptor, "rb")


def read_at_most(file: BinaryIO, most: int) -> bytes:
    """Read an open file of at most `most` bytes.

    Raises
    ------
    ParseError
        If it is larger.
    """
    size = os.fstat(file.fileno()).st_size
    content = b"" if size > most else file.read(most + 1)
    if size > most or len(content) > most:
        raise ParseError(f"is larger than {_size(most)}")
    return content


def read_regular(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes; pipes and devices are not opened for reading.

    Raises
    ------
    ParseError
        If it is not a regular file, or larger.
    OSError
        If it cannot be read.
    """
    with open_regular(path) as file:
        return read_at_most(file, most)


def check_path(path: str | PathLike[str]) -> None:
    """Check that a text can be the name of a file.

    Raises
    ------
    ParseError
        If it is empty (Python would take it for the current folder), holds a NUL character, or is
        longer than any file system allows.
    """
    name = os.fsencode(path)
    if not name:
        raise ParseError("is empty; name a file or folder, or . for the current one")
    if b"\0" in name:
        raise ParseError("holds a NUL character and can be no file's name")
    parts = name.replace(os.fsencode(os.sep), b"/").split(b"/")
    if len(name) > _MOST_PATH_BYTES or max(map(len, parts)) > _MOST_NAME_BYTES:
        raise ParseError("is too long for a file's name")


def _size(count: int) -> str:
    return f"{count >> 20} MB" if count >= 1 << 20 else f"{count >> 10} kB"


# ------------------------------------------------------------------ JSON


def parse_json(content: bytes, limits: Limits = JSON_LIMITS, *, finite: bool = True) -> Any:
    """Read strict JSON.

    Parameters
    ----------
    content : bytes
        UTF-8.
    limits : Limits
        The limits.
    finite : bool, default=True
        Refuse NaN and infinite numbers, which Python writes but JSON does not allow.

    Examples
    --------
    >>> parse_json(b'{"a": [1, 2.5]}')
    {'a': [1, 2.5]}

    Raises
    ------
    ParseError
        If it is anything else, or more.
    """
    if len(content) > limits.bytes:
        raise ParseError(f"is larger than {_size(limits.bytes)}")
    _check_structure(content, limits)
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant if finite else float,
            parse_float=_finite_float if finite else float,
            parse_int=_bounded_int,
        )
    except (ValueError, RecursionError) as error:
        raise ParseError(f"is not JSON: {error}") from error


def _check_structure(content: bytes, limits: Limits) -> None:
    """Count values and nesting in the text outside of strings, without building values."""
    quotes = content.count(b'"') - content.count(b'\\"')
    if quotes > 4 * limits.items:  # a key and a text have two each
        raise ParseError(f"holds more than {limits.items:,} values")
    bare = _STRINGS.sub(b"", content)
    if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > limits.items:
        raise ParseError(f"holds more than {limits.items:,} values")
    depth = 0
    for bracket in re.finditer(rb"[\[\]{}]", bare):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > limits.depth:
            raise ParseError(f"is nested more than {limits.depth} deep")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a finite number")


def _finite_float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def _bounded_int(text: str) -> int:
    if len(text) > 21 or abs(value := int(text)) > _LARGEST:
        raise ValueError(f"the whole number {text[:20]}… is too large")
    return value


# ------------------------------------------------------------------ YAML


def parse_yaml(text: str, limits: Limits = YAML_LIMITS) -> Any:
    r"""Read the part of YAML that corresponds to JSON: dates are text, tags are refused.

    Parameters
    ----------
    text : str
        One document.
    limits : Limits
        The limits.

    Examples
    --------
    >>> parse_yaml("normal: 2024-01-31\nsize: [64, 48]")
    {'normal': '2024-01-31', 'size': [64, 48]}

    Raises
    ------
    ParseError
        If it is anything else, or more.
    """
    import yaml

    if len(text) > limits.bytes:
        raise ParseError(f"is larger than {_size(limits.bytes)}")
    loader_class = _yaml_loader()
    try:
        _check_events(yaml.parse(text, Loader=loader_class), limits)
        loader = loader_class(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node, limits)
        value = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ParseError(f"is not YAML: there is a mistake{where}") from error
    except ParseError:
        raise
    except ValueError as error:  # a number of a form that PyYAML recognises and cannot read
        raise ParseError("is not YAML: there is a number that cannot be read") from error
    return _plain(value)


def _yaml_loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        """The safe loader without dates."""

        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
            for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def _check_events(events: Iterator[yaml.Event], limits: Limits) -> None:
    """Count values and nesting while the text is scanned."""
    import yaml

    depth = 0
    for count, event in enumerate(events):
        if count > 2 * limits.items + 4:  # a start and an end each, of stream and document too
            raise ParseError(f"holds more than {limits.items:,} values")
        if getattr(event, "tag", None) is not None:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ParseError(f"is not YAML of plain values: there is a tag (!) in line {line}")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > limits.depth:
            raise ParseError(f"is nested more than {limits.depth} deep")


def _check_nodes(root: yaml.Node, limits: Limits) -> None:
    """Count expanded aliases, and refuse those that contain themselves."""
    measured: dict[int, tuple[int, int]] = {}  # values and depth below each node
    above: set[int] = set()
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, leaving = waiting.pop()
        if id(node) in measured:
            continue
        inside = _inside(node)
        if leaving:
            above.discard(id(node))
            items = 1 + sum(measured[id(each)][0] for each in inside)
            depth = 1 + max((measured[id(each)][1] for each in inside), default=0)
            if items > limits.items:
                raise ParseError(
                    f"holds more than {limits.items:,} values with aliases written out"
                )
            if depth > limits.depth + 1:
                raise ParseError(f"is nested more than {limits.depth} deep")
            measured[id(node)] = items, depth
        elif id(node) in above:
            raise ParseError("has an alias that leads back to itself")
        else:
            above.add(id(node))
            waiting.append((node, True))
            waiting += [(each, False) for each in inside]


def _inside(node: yaml.Node) -> list[yaml.Node]:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    seen = set()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
            raise ParseError(f"has a key in line {line} that is not text; write it in quotes")
        if key.value in seen:
            raise ParseError(f"has the key {shown_path(key.value)!r} twice, again in line {line}")
        seen.add(key.value)
    return [value for _, value in node.value]


def _plain(value: Any, where: str = "") -> Any:
    """Copy a value, so that no two parts are the same object, and check its numbers.

    `where` names the value in messages, for example "options.nu".
    """
    if isinstance(value, dict):
        dot = f"{where}." if where else ""
        return {key: _plain(item, f"{dot}{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, where) for item in value]
    named = f"{shown_path(where)} = " if where else ""
    if isinstance(value, float) and not math.isfinite(value):
        raise ParseError(f"holds {named}{value}, which is not a finite number")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ParseError(f"holds {named}a whole number that is too large")
    return value


def is_number(text: str) -> bool:
    """Say whether Python reads a text as a number; ``nan`` and ``inf`` are some.

    Examples
    --------
    >>> is_number("-1e3"), is_number("3 mm")
    (True, False)
    """
    try:
        float(text)
    except ValueError:
        return False
    return True
