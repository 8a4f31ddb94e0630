"""Rows of equal shape gathered one by one, in memory or straight into a ``.npy`` file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class Stack(Protocol):
    """Something that takes rows of uint8, all of one shape."""

    def append(self, row: Pixels) -> None:
        """Add one row."""

    def widen(self) -> None:
        """Turn the grey (H, W, 1) rows gathered so far into RGB."""


class MemoryStack:
    """Rows gathered in memory."""

    def __init__(self) -> None:
        self._rows: list[Pixels] = []

    def append(self, row: Pixels) -> None:
        """Add one row."""
        self._rows.append(row)

    def widen(self) -> None:
        """Turn the grey rows gathered so far into RGB."""
        self._rows = [np.repeat(row, 3, axis=2) for row in self._rows]

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
        self._count = 0

    def append(self, row: Pixels) -> None:
        """Add one row."""
        if self._file is None:
            self._row_shape = row.shape
            self._file = self._path.open("wb")
            self._write_header()
        self._file.write(np.ascontiguousarray(row).data)
        self._count += 1

    def widen(self) -> None:
        """Turn the grey rows gathered so far into RGB."""
        if self._file is None:
            return
        self.finish()
        grey = np.load(self._path, mmap_mode="r", allow_pickle=False)
        colour = FileStack(self._path.with_suffix(".rgb"))
        for row in grey:
            colour.append(np.repeat(row, 3, axis=2))
        colour._path.replace(self._path)
        self._file, self._row_shape = colour._file, colour._row_shape

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
        header = {"shape": (self._count, *self._row_shape), "fortran_order": False, "descr": "|u1"}
        np.lib.format.write_array_header_1_0(self._file, header)
