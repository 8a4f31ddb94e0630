"""The IDX format of the original MNIST files, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.limits import limits
from insphere.errors import DataError
from insphere.safe_text import reason

PARTS = (("train", False), ("t10k", True))


def find_idx(folder: Path) -> list[tuple[Path, Path, bool]] | None:
    """Return images, labels and a test flag for both parts; None if a file is missing."""
    found = []
    for prefix, is_test in PARTS:
        images = _find(folder, f"{prefix}-images", 3)
        labels = _find(folder, f"{prefix}-labels", 1)
        if images is None or labels is None:
            return None
        found.append((images, labels, is_test))
    return found


def _find(folder: Path, stem: str, rank: int) -> Path | None:
    names = [f"{stem}{dot}idx{rank}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes, of any rank.

    Format: two zero bytes, 0x08 for unsigned bytes, the rank, then the size of each axis as a
    big-endian 32-bit number, then the values (http://yann.lecun.com/exdb/mnist).

    Raises
    ------
    DataError
        If the file is damaged or not an IDX file of unsigned bytes.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            most = limits().max_file_bytes
            content = file.read(most + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged: {reason(error)}; get the file again.") from error
    if len(content) > most:
        raise DataError(
            f"{path} unpacks to more than {most} bytes: raise the environment variable "
            "INSPHERE_MAX_FILE_BYTES if it is to be trusted."
        )
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DataError(f"{path} is not an IDX file of unsigned bytes.")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{path} is damaged: it ends before its first value.")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != int(np.prod(shape, dtype=np.int64)):
        raise DataError(
            f"{path} is damaged: it holds {len(content) - start} values, but says {shape}."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def load_idx(folder: Path, name: str, class_names: tuple[str, ...]) -> ImageSet:
    """Load the four files of a folder: images and labels to train and to test on.

    Raises
    ------
    DataError
        If one is missing or damaged.
    """
    found = find_idx(folder)
    if found is None:
        raise DataError(
            f"{folder} lacks some of the four files train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte (or .gz)."
        )
    images = [read_idx(path) for path, _, _ in found]
    labels = [read_idx(path) for _, path, _ in found]
    if any(part.ndim != 3 for part in images) or any(part.ndim != 1 for part in labels):
        raise DataError(f"{folder} holds IDX files that are not images and labels.")
    return ImageSet(
        np.concatenate(images)[..., None],
        np.concatenate(labels).astype(np.int64),
        class_names,
        name=name,
        is_test=np.repeat([flag for _, _, flag in found], [len(part) for part in images]),
    )
