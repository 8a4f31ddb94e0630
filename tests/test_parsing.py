"""The borders where text and files become values: bounded, plain, and one clause about the rest."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from insphere.data import load_dataset
from insphere.errors import DataError, SpecError
from insphere.parsing import (
    JSON_LIMITS,
    YAML_LIMITS,
    Limits,
    ParseError,
    check_path,
    parse_json,
    parse_yaml,
    read_regular,
)
from insphere.safe_text import shown_path
from insphere.workflows.fit_config import make_config, read_config

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"b{i}: &b{i} {{<<: [{', '.join([f'*b{i - 1}' if i else '*a'] * 9)}]}}\n" for i in range(9)
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text("abcdef:- #'"), inner, max_size=5)
    ),
    max_leaves=20,
)


def is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def tried(call: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """Return what a call gives, or the sentence of its refusal."""
    try:
        return call(*arguments), None
    except (ParseError, SpecError) as error:
        return None, str(error)


# ------------------------------------------------------------------ JSON


@settings(derandomize=True, max_examples=200, deadline=None)
@given(PLAIN)
def test_json_comes_back(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]",:0123456789.eE+-\\untrfalse ', max_size=60))
def test_json_is_plain_or_refused(content: bytes | str) -> None:
    text = content if isinstance(content, bytes) else content.encode()
    value, refusal = tried(parse_json, text)
    if refusal is None:
        assert is_plain(value)
        assert json.loads(text) == value
    else:
        assert refusal.startswith(("is ", "holds "))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[" + b"{}," * 40_000_000 + b"{}]", "is larger than 64 MB"),
        (b"[" + b"{}," * 5_000_000 + b"{}]", "holds more than 2,000,000 values"),
        (b'""' * 10_000_000, "holds more than 2,000,000 values"),
        (b"[" * 3000 + b"]" * 3000, "is nested more than 100 deep"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, "is nested more than 100 deep"),
        (b"9" * 5000, "too large"),
        (b"NaN", "not a finite number"),
        (b"1e999", "not a finite number"),
        (b'{"a": 1, "a": 2}', "a key appears twice"),
        (b'"' + b"\\" * 1_000_001, "is not JSON"),
        (b"\xff", "is not JSON"),
    ],
    ids=range(11),
)
def test_json_that_is_too_much_is_refused_at_once(content: bytes, says: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ParseError, match=says):
        parse_json(content)
    assert time.perf_counter() - started < 5


def test_brackets_in_text_do_not_count() -> None:
    assert parse_json(json.dumps({"a": "[" * 1000, 'b\\"[{': "\\"}).encode()) == {
        "a": "[" * 1000,
        'b\\"[{': "\\",
    }


# ------------------------------------------------------------------ YAML


@settings(derandomize=True, max_examples=200, deadline=None)
@given(PLAIN)
def test_yaml_comes_back(value: Any) -> None:
    assert parse_yaml(yaml.safe_dump(value, allow_unicode=True)) == value


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.text("ab:-[]{},&*!<>|?'\"# \n\t0123456789.~_xe+%@`", max_size=80))
def test_yaml_is_plain_or_refused(text: str) -> None:
    value, refusal = tried(parse_yaml, text)
    if refusal is None:
        assert is_plain(value)
    else:
        assert refusal.startswith(("is ", "has ", "holds "))
        assert "\n" not in refusal


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "holds more than 20,000 values with aliases"),
        (MERGES, "holds more than 20,000 values with aliases"),
        ("&a [*a]", "alias that leads back to itself"),
        ("a: &a {b: &b {c: *a, d: *b}}", "alias that leads back to itself"),
        ("&a {<<: *a}", "alias that leads back to itself"),
        ("[" * 3000 + "]" * 3000, "is nested more than 30 deep"),
        ("- " * 3000 + "x", "is nested more than 30 deep"),
        ("".join(f"a{i}: &a{i} [{f'*a{i - 1}' if i else 1}]\n" for i in range(99)), "30 deep"),
        ("x, " * 200_000, "is larger than 256 kB"),
        ("[" + "x," * 60_000 + "]", "holds more than 20,000 values"),
        ("a: 0b_", "number that cannot be read"),
        ("a: " + "9" * 5000, "number that cannot be read"),
        ("a: " + "9" * 50, "whole number that is too large"),
        ("a: -.inf", "not a finite number"),
        ("a: .nan", "not a finite number"),
        ("a: 1\nb: 2\na: 3", "the key 'a' twice, again in line 3"),
        ("a: 1\n2024: 3", "key in line 2 that is not text"),
        ("[1]: 2", "key in line 1 that is not text"),
        ("a: !!timestamp 2024-99-99", r"tag \(!\) in line 1"),
        ("!!python/object/apply:os.getcwd []", "tag"),
        ("a: [1", "mistake in line 1"),
        ("a: \0", "is not YAML"),
        ("a: 1\n---\nb: 2", "is not YAML"),
    ],
)
def test_yaml_that_is_too_much_or_no_plain_value(text: str, says: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ParseError, match=says):
        parse_yaml(text)
    assert time.perf_counter() - started < 10


def test_dates_stay_text_and_aliases_become_copies() -> None:
    value = parse_yaml("a: &a [2024-99-99, 2024-01-31 10:00:00]\nb: *a\nc: {<<: {d: 1}, e: 2}")
    assert value == {
        "a": ["2024-99-99", "2024-01-31 10:00:00"],
        "b": ["2024-99-99", "2024-01-31 10:00:00"],
        "c": {"d": 1, "e": 2},
    }
    assert value["a"] is not value["b"]


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["normal", "size", "seed", "out", "options", "nu"]), PLAIN))
def test_settings_of_any_form_are_settings_or_one_sentence(values: dict[str, Any]) -> None:
    made, refusal = tried(lambda: make_config({"source": "s"}, values, "file.yaml"))
    assert made[0].identity if refusal is None else len(refusal) < 600


def test_all_sweeps_of_the_project_are_read() -> None:
    for file in (Path(__file__).parents[1] / "sweeps").glob("*.yaml"):
        assert parse_yaml(file.read_text(encoding="utf-8")) == yaml.safe_load(
            file.read_text(encoding="utf-8")
        )


# ------------------------------------------------------------------ files


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_regular(file, 5) == b"12345"
    with pytest.raises(ParseError, match="is larger than"):
        read_regular(file, 4)
    with file.open("r+b") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(ParseError, match="is larger than 64 MB"):
        read_regular(file, JSON_LIMITS.bytes)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ParseError, match="is not a file"):
            read_regular(tmp_path / "pipe", 5)
        with pytest.raises(SpecError, match="pipe is not a file"):
            read_config(tmp_path / "pipe")
    with pytest.raises(SpecError, match="is not a file"):
        read_config(tmp_path)


@pytest.mark.parametrize("path", ["", "a\0b", "a" * 256, "ä" * 128, "x/" * 2500])
def test_names_that_no_file_can_have(path: str) -> None:
    with pytest.raises(ParseError, match=r"is empty|holds a NUL|is too long"):
        check_path(path)
    shown = shown_path(path)
    assert shown.isprintable()
    assert len(shown) < 130
    with pytest.raises(DataError, match=r"is empty|holds a NUL|is too long"):
        load_dataset(path)


def test_limits_are_limits() -> None:
    few = Limits(bytes=10, items=3, depth=1)
    assert parse_json(b"[1,2]", few) == [1, 2]
    for content in (b"[1,2,3,4]", b"[[1]]", b"[1,            2]"):
        with pytest.raises(ParseError):
            parse_json(content, few)
    assert parse_yaml("[1, 2]", few) == [1, 2]
    for text in ("[1,2,3,4]", "[[1]]", "[1,            2]"):
        with pytest.raises(ParseError):
            parse_yaml(text, few)
    assert YAML_LIMITS.bytes < JSON_LIMITS.bytes
