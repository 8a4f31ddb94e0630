"""Hashes of data, which identify it by its content."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_fingerprint(X: NDArray[Any]) -> str:
    """SHA-256 of an array's shape, type and values, read in parts (X may be a memory map).

    An array of objects holds texts.
    """
    digest = hashlib.sha256(f"{X.shape} {X.dtype.str}".encode())
    digest.update(getattr(X, "context_key", b""))  # the graph that nodes are of
    if X.dtype == object:
        for key in row_keys(X):
            digest.update(key)
        return digest.hexdigest()
    for start in range(0, len(X), 4096):
        digest.update(np.ascontiguousarray(X[start : start + 4096]).data)
    return digest.hexdigest()


def row_keys(X: NDArray[Any]) -> list[bytes]:
    """Return a hash of sixteen bytes for each row of an array, or for each text (BLAKE2b)."""
    start = hashlib.blake2b(f"{X.shape[1:]} {X.dtype.str}".encode(), digest_size=16)
    keys = []
    for row in X:
        digest = start.copy()
        if isinstance(row, str):
            digest.update(row.encode("utf-8", "surrogatepass"))
        else:
            digest.update(np.ascontiguousarray(row).data)
        keys.append(digest.digest())
    return keys
