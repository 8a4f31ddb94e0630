"""Reading and writing safetensors files with one copy of the arrays in memory, not three.

The form of a file is that of https://github.com/huggingface/safetensors: eight bytes that say how
long the header is, the header in JSON, and the values. The bytes are those of the library.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from insphere.parsing import Limits, ParseError, parse_json

# In the order in which a file holds them, which keeps all values aligned.
TYPES = {
    "U64": "<u8", "I64": "<i8", "F64": "<f8", "C64": "<c8", "F32": "<f4", "U32": "<u4",
    "I32": "<i4", "F16": "<f2", "U16": "<u2", "I16": "<i2", "I8": "|i1", "U8": "|u1",
    "BOOL": "|b1",
}  # fmt: skip
_NAMES = {np.dtype(form): name for name, form in TYPES.items()}
_ORDER = list(TYPES)
HEADER_LIMITS = Limits(bytes=100_000_000, items=1_000_000, depth=10)
CHUNK = 1 << 24  # bytes


class Written:
    """The bytes of a file that holds arrays, piece by piece, without a copy of the arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The same arrays give the same bytes, whatever their order.

    Raises
    ------
    TypeError
        If an array holds what such a file cannot.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        stored = {name: _stored(name, array) for name, array in arrays.items()}
        order = sorted(stored, key=lambda name: (_ORDER.index(_NAMES[stored[name].dtype]), name))
        self._arrays = [stored[name] for name in order]
        header, start = {}, 0
        for name in order:
            end = start + stored[name].nbytes
            header[name] = {
                "dtype": _NAMES[stored[name].dtype],
                "shape": list(arrays[name].shape),
                "data_offsets": [start, end],
            }
            start = end
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        self._header = text + b" " * (-len(text) % 8)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield len(self._header).to_bytes(8, "little")
        yield self._header
        for array in self._arrays:
            flat = array.reshape(-1).view(np.uint8)
            for at in range(0, len(flat), CHUNK):
                yield flat[at : at + CHUNK].data

    def measured(self) -> tuple[str, int]:
        """Return SHA-256, in hexadecimal digits, and number of bytes."""
        digest, size = hashlib.sha256(), 0
        for piece in self:
            digest.update(piece)
            size += len(piece)
        return digest.hexdigest(), size


def _stored(name: str, array: NDArray[Any]) -> NDArray[Any]:
    plain = np.ascontiguousarray(array)
    plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
    if plain.dtype not in _NAMES:
        raise TypeError(f"{name} holds {plain.dtype}, which no file of weights can")
    return plain


def all_finite(array: NDArray[Any]) -> bool:
    """Return whether an array holds neither NaN nor infinite numbers, looking at parts of it."""
    flat = array.reshape(-1)
    return all(np.isfinite(flat[at : at + CHUNK]).all() for at in range(0, len(flat), CHUNK))


def read(file: BinaryIO, size: int, sha256: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of an open file, after checking that its bytes are those expected.

    Parameters
    ----------
    file : binary file
        Open for reading.
    size : int
        Bytes that it must have.
    sha256 : str
        SHA-256 that they must have, in hexadecimal digits.

    Raises
    ------
    ValueError
        If it is another file, or no safetensors file.
    """
    found = file.seek(0, os.SEEK_END)
    if found != size:
        raise ValueError(f"{found} bytes instead of {size}")
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise ValueError("its SHA-256 does not fit")
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, HEADER_LIMITS.bytes):
        raise ValueError("not safetensors: its header is longer than the file")
    try:
        header = parse_json(file.read(length), HEADER_LIMITS)
    except ParseError as error:
        raise ValueError(f"not safetensors: its header {error}") from error
    if not isinstance(header, dict):
        raise ValueError("not safetensors: its header is no table")
    header.pop("__metadata__", None)
    arrays: dict[str, NDArray[Any]] = {}
    for name, about in sorted(header.items(), key=lambda item: _start(*item)):
        kind, shape = np.dtype(TYPES[about["dtype"]]), about["shape"]
        start, end = about["data_offsets"]
        whole = all(type(value) is int and value >= 0 for value in (*shape, start, end))
        if not whole or start != sum(a.nbytes for a in arrays.values()):
            raise ValueError(f"not safetensors: {name} has no place of its own")
        if end - start != math.prod(shape) * kind.itemsize or end > size - 8 - length:
            raise ValueError(f"not safetensors: {name} does not fit its place")
        values = np.empty(math.prod(shape), kind)
        if file.readinto(values.view(np.uint8)) != end - start:  # type: ignore[attr-defined]
            raise ValueError(f"not safetensors: {name} ends early")
        arrays[name] = values.reshape(shape)
    if sum(a.nbytes for a in arrays.values()) != size - 8 - length:
        raise ValueError("not safetensors: something follows the arrays")
    return arrays


def _start(name: str, about: Any) -> tuple[int, int, str]:
    """Return where an array begins, for sorting."""
    if not isinstance(about, dict) or set(about) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"not safetensors: {name} is not described")
    dtype, offsets, shape = about["dtype"], about["data_offsets"], about["shape"]
    if not isinstance(dtype, str) or dtype not in TYPES:
        raise ValueError(f"not safetensors: {name} is of an unknown type")
    if not isinstance(shape, list) or not isinstance(offsets, list):
        raise ValueError(f"not safetensors: {name} has no shape or no place")
    if len(offsets) != 2 or any(type(at) is not int for at in offsets):
        raise ValueError(f"not safetensors: {name} has no place")
    return (*offsets, name)
