"""Rows of equal shape gathered one by one, in memory or straight into a ``.npy`` file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]


class Stack(Protocol):
    """Something that takes rows of one shape and type."""

    def append(self, row: Pixels) -> None:
        """Add one row."""

    def convert(self, change: Callable[[Pixels], Pixels]) -> None:
        """Change each of the rows gathered so far."""

    def clear(self) -> None:
        """Drop the rows gathered so far."""


class MemoryStack:
    """Rows gathered in memory."""

    def __init__(self) -> None:
        self._rows: list[Pixels] = []

    def append(self, row: Pixels) -> None:
        """Add one row."""
        self._rows.append(row)

    def convert(self, change: Callable[[Pixels], Pixels]) -> None:
        """Change each of the rows gathered so far."""
        self._rows = [change(row) for row in self._rows]

    def clear(self) -> None:
        """Drop the rows gathered so far."""
        self._rows = []

    def finish(self) -> Pixels:
        """Return all rows as one array."""
        return np.stack(self._rows)


class FileStack:
    """Rows written to a ``.npy`` file as they come, so that memory does not grow with them.

    Parameters
    ----------
    path : Path
        The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._row_shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.uint8)
        self._count = 0

    def append(self, row: Pixels) -> None:
        """Add one row."""
        if self._file is None:
            self._row_shape, self._dtype = row.shape, row.dtype
            self._file = self._path.open("wb")
            self._write_header()
        self._file.write(np.ascontiguousarray(row).data)
        self._count += 1

    def convert(self, change: Callable[[Pixels], Pixels]) -> None:
        """Change each of the rows gathered so far."""
        if self._file is None:
            return
        self.finish()
        before = np.load(self._path, mmap_mode="r", allow_pickle=False)
        after = FileStack(self._path.with_suffix(".changed"))
        for row in before:
            after.append(change(row))
        after._path.replace(self._path)
        self._file, self._row_shape, self._dtype = after._file, after._row_shape, after._dtype

    def clear(self) -> None:
        """Drop the rows gathered so far."""
        self.close()
        self._count = 0

    def finish(self) -> None:
        """Write the number of rows into the header and close the file."""
        if self._file is None:
            return
        self._file.seek(0)
        self._write_header()  # NumPy leaves room in it for a longer count
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None

    def close(self) -> None:
        """Close the file as it is, after an error."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write_header(self) -> None:
        assert self._file is not None
        header = {
            "shape": (self._count, *self._row_shape),
            "fortran_order": False,
            "descr": np.lib.format.dtype_to_descr(self._dtype),
        }
        np.lib.format.write_array_header_1_0(self._file, header)
