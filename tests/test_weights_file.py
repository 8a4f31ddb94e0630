"""Files of weights: the bytes are those of safetensors, and nothing else is read."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load, save

from insphere.detectors.persistence.weights_file import TYPES, Written, all_finite, read

some_arrays = st.dictionaries(
    st.text(max_size=9).filter(lambda name: name != "__metadata__"),
    st.sampled_from([np.dtype(form) for form in TYPES.values() if form != "<c8"]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=5,
)


def taken(content: bytes) -> dict[str, np.ndarray]:
    return read(io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())


@given(some_arrays)
def test_the_bytes_are_those_of_the_library(found: dict[str, np.ndarray]) -> None:
    written = Written(found)
    content = b"".join(written)
    assert content == save({name: np.asarray(a, order="C") for name, a in found.items()})
    assert written.measured() == (hashlib.sha256(content).hexdigest(), len(content))
    again, theirs = taken(content), load(content)
    assert set(again) == set(found)
    for name, array in again.items():
        assert array.flags.writeable
        assert (array.dtype, array.shape) == (found[name].dtype, found[name].shape)
        assert array.tobytes() == found[name].tobytes() == theirs[name].tobytes()


def with_header(header: Any, values: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


A = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        (1 << 60).to_bytes(8, "little") + b"{}",
        with_header(b"{"),
        with_header([]),
        with_header({}),
        with_header({"a": 1}),
        with_header({"a": A | {"dtype": "F65"}}),
        with_header({"a": A | {"dtype": ["F64"]}}),
        with_header({"a": A | {"shape": None}}),
        with_header({"a": A | {"shape": [-1]}}),
        with_header({"a": A | {"shape": [1.0]}}),
        with_header({"a": A | {"shape": [2]}}),
        with_header({"a": A | {"shape": [1 << 62, 4]}}),
        with_header({"a": A | {"data_offsets": [0, 9]}}),
        with_header({"a": A | {"data_offsets": [4, 12]}}),
        with_header({"a": A | {"data_offsets": [-8, 0]}}),
        with_header({"a": A | {"data_offsets": ["0", "8"]}}),
        with_header({"a": A | {"data_offsets": [0, 8, 16]}}),
        with_header({"a": A, "b": A}, bytes(16)),
        with_header({"a": A}, bytes(9)),
        with_header({"a": A}, bytes(7)),
        with_header({"a": A | {"more": 1}}),
    ],
)
def test_what_is_no_file_of_weights_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"safetensors|bytes"):
        taken(content)


def test_other_bytes_are_refused() -> None:
    content = bytearray(b"".join(Written({"a": np.arange(3.0)})))
    sha256 = hashlib.sha256(content).hexdigest()
    with pytest.raises(ValueError, match="instead of"):
        read(io.BytesIO(content + b"x"), len(content), sha256)
    content[-1] ^= 1
    with pytest.raises(ValueError, match="SHA-256"):
        read(io.BytesIO(content), len(content), sha256)


def test_every_part_of_an_array_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("insphere.detectors.persistence.weights_file.CHUNK", 4)
    values = np.zeros((3, 5))
    assert all_finite(values)
    values[2, 4] = np.nan
    assert not all_finite(values)
    assert b"".join(Written({"a": values})) == save({"a": values})
