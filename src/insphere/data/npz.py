"""The arrays of a ``.npz`` file, one by one."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.files import open_zip
from insphere.errors import DataError
from insphere.safe_text import reason
from insphere.storage import ODD_ARRAY

_ODD = (OSError, ValueError, NotImplementedError, zlib.error, zipfile.BadZipFile, *ODD_ARRAY)


class Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an open file, each read when it is asked for.

    Parameters
    ----------
    path : Path
        The file, for messages.
    archive : numpy.lib.npyio.NpzFile
        The open file.
    """

    def __init__(self, path: Path, archive: Any) -> None:
        self._path = path
        self._archive = archive

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.files)

    def __len__(self) -> int:
        return len(self._archive.files)

    def __contains__(self, name: object) -> bool:
        return name in self._archive.files

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read an array.

        Raises
        ------
        KeyError
            If there is none of that name.
        DataError
            If it is damaged, or holds pickled objects.
        """
        if name not in self:
            raise KeyError(name)
        try:
            found = self._archive[name]
        except _ODD as error:
            raise _unreadable(self._path, reason(error)) from error
        if not isinstance(found, np.ndarray):  # what does not begin as an array comes as bytes
            raise _unreadable(self._path, f"{name} is no array")
        return found


@contextmanager
def open_npz(path: Path) -> Iterator[Arrays]:
    """Open the arrays of a ``.npz`` file.

    Raises
    ------
    DataError
        If it is damaged, or would unpack to far more than it is large.
    OSError
        If it is missing, or may not be read.
    """
    open_zip(path, ".npz archive").close()
    try:
        archive = np.load(path, allow_pickle=False)
    except _ODD as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise _unreadable(path, reason(error)) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise _unreadable(path, "it holds one array alone")
    with archive:
        yield Arrays(path, archive)


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(f"{path} is not a readable .npz archive: {why}.")
