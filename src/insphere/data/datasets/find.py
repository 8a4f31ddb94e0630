"""Finding, downloading and reading the data sets of the table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from insphere.data.cache import cache_dir
from insphere.data.datasets.dataset import LocalDataset, PackagedDataset, Reader, Roi
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.datasets.table import DATASETS, named_dataset
from insphere.data.files import ImageFiles
from insphere.data.image_set import ImageSet
from insphere.data.listing import Listing
from insphere.errors import DataError, require


def available_datasets(root: str | os.PathLike[str] | None = None) -> tuple[DatasetCard, ...]:
    """Return a card for each named data set, with whether it is available without a network.

    Parameters
    ----------
    root : path, optional
        A folder of data to look in first.
    """
    return tuple(_located(name, root) for name in DATASETS)


def _located(name: str, root: str | os.PathLike[str] | None) -> DatasetCard:
    known = named_dataset(name)
    if isinstance(known, PackagedDataset):
        there = find_spec(known.module) is not None
        return replace(known.card, available=there, location=known.package if there else "")
    local = find_local(name, root)
    return replace(known.card, available=local is not None, location=str(local) if local else "")


def read_named(
    name: str, reader: Reader, *, root: str | os.PathLike[str] | None, may_download: bool
) -> ImageSet:
    """Find a data set of the table and read it.

    Parameters
    ----------
    name : str
        Its name.
    reader : callable
        Reads the usual forms of images.
    root : path or None
        Where to look first.
    may_download : bool
        Whether torchvision may download it if it is not found.

    Raises
    ------
    DataError
        If it is not on this machine, or what is there is damaged.
    MissingExtraError
        If a package is needed.
    """
    known = named_dataset(name)
    if isinstance(known, PackagedDataset):
        return known.load()
    assert isinstance(known, LocalDataset)
    if root is not None and not Path(root).exists():
        raise DataError(f"root={os.fspath(root)} does not exist.")
    path = find_local(name, root)
    if path is None and may_download and known.torchvision is not None:
        path = download(name)
    if path is None:
        other = (
            ', or let torchvision get them with download=True (pip install "insphere[vision]")'
            if known.torchvision is not None
            else ""
        )
        raise DataError(
            f"{name} is not on this machine: say where its files are with root= or INSPHERE_DATA "
            f"({', '.join(known.card.local_forms)}){other}."
        )
    return known.read(path, reader)


def list_as_named(files: ImageFiles, roi: Roi) -> Listing | None:
    """List a tree whose layout is unique to one data set of the table; None for any other."""
    for known in map(named_dataset, DATASETS):
        if isinstance(known, LocalDataset) and known.fits(files):
            return known.list_files(files, roi)
    return None


def downloads_dir() -> Path:
    """Return the folder that downloads go to."""
    return cache_dir() / "datasets"


def find_local(name: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the local file or folder of a named data set, or None if there is none.

    Places are searched in this order: `root`, the folder in the environment variable
    ``INSPHERE_DATA``, the folder of the operating system, and the folder of downloads.
    """
    known = named_dataset(name)
    if not isinstance(known, LocalDataset):
        return None
    for folder, is_own in _folders(known, root):
        if is_own and (folder.is_file() or known.is_itself(folder)):
            return folder
        for form in known.card.local_forms:
            path = folder / form
            if path.is_file() or (path.is_dir() and known.is_whole(path)):
                return path
    return None


def _folders(
    known: LocalDataset, root: str | os.PathLike[str] | None
) -> Iterator[tuple[Path, bool]]:
    """Yield the places to search, and whether each contains only this data set."""
    if root is not None:
        yield Path(root), True
    if os.environ.get("INSPHERE_DATA"):
        yield Path(os.environ["INSPHERE_DATA"]), False
    if known.system_folder is not None:
        yield known.system_folder, True
    yield downloads_dir(), False


def download(name: str) -> Path:
    """Let torchvision download a data set, and return where it is.

    Raises
    ------
    DataError
        If the download fails, or torchvision does not have the data set.
    MissingExtraError
        If torchvision is not installed.
    """
    known = named_dataset(name)
    way = known.torchvision if isinstance(known, LocalDataset) else None
    if way is None:
        raise DataError(f"torchvision does not download {name}: get its files another way.")
    datasets = require("torchvision.datasets", "vision", f"Downloading {name}")
    folder = downloads_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for options in [{"split": split} for split in way.splits] or [{}]:
            getattr(datasets, way.class_name)(str(folder), download=True, **options)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} could not be downloaded ({error}): get its files another way and say where "
            "they are with root= or INSPHERE_DATA."
        ) from error
    return folder / way.place
