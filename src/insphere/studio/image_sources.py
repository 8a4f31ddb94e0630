"""The images that can be selected: named data sets, a data folder, and uploads.

A source is selected by its key. A path in an address is never opened.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from insphere.data.datasets.find import available_datasets
from insphere.data.datasets.table import DATASETS
from insphere.data.files import is_image_name
from insphere.errors import DataError
from insphere.experiments.runs.display_names import dataset_titles

ARCHIVES = (".zip", ".npz")
OTHERS = "others"
"""Folder among the uploads for images that are only shown as known anomalies."""


@dataclass(frozen=True)
class Source:
    """Images that can be selected.

    Parameters
    ----------
    key : str
        Name in addresses.
    dataset : str
        Name or path for `load_dataset` and specs.
    title : str
        Name on pages.
    kind : {"named", "folder", "uploaded"}
        Origin of the images.
    """

    key: str
    dataset: str
    title: str
    kind: str


class Sources:
    """All sources that can be selected.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Folder whose subfolders and archives are offered.
    uploads : pathlib.Path
        Folder of uploads, which need not exist yet.
    """

    def __init__(self, folder: Path | None, uploads: Path) -> None:
        self.folder = None if folder is None else folder.resolve()
        self.uploads = uploads.resolve()

    def all(self) -> list[Source]:
        """Return the sources that exist now, the embedded data sets first."""
        return self._listed(self._folders_and_uploads())

    def others(self) -> list[Source]:
        """Return what can be shown as known anomalies: also images that were brought for it."""
        return self._listed([*self._folders_and_uploads(), *self._brought_others()])

    def _listed(self, paths: list[tuple[Path, str]]) -> list[Source]:
        cards = [card for card in available_datasets() if card.available]
        order = {"mnist-5k": 0, "digits-8x8": 1}
        cards.sort(key=lambda card: order.get(card.name, 2))
        used = {Path(card.location) for card in cards if card.location}
        kinds = dict.fromkeys((card.name for card in cards), "named")
        kinds |= {str(path): kind for path, kind in paths if path not in used}
        titles = dataset_titles(kinds)
        return [
            Source(source_key(dataset), dataset, titles[dataset], kind)
            for dataset, kind in kinds.items()
        ]

    def get(self, key: str) -> Source:
        """Return a source by its key, or by the name or path that a spec uses.

        Raises
        ------
        DataError
            If there is none.
        """
        return _found(key, self.all())

    def other(self, key: str) -> Source:
        """Return one of `others` by its key, or by its name or path.

        Raises
        ------
        DataError
            If there is none.
        """
        return _found(key, self.others())

    def _folders_and_uploads(self) -> list[tuple[Path, str]]:
        return [*self._from_folder(), *self._from_uploads()]

    def _from_folder(self) -> list[tuple[Path, str]]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return [(path, "folder") for path in sorted(self.folder.iterdir()) if self._fits(path)]

    def _from_uploads(self) -> list[tuple[Path, str]]:
        if not self.uploads.is_dir():
            return []
        return [(path, "uploaded") for path in sorted(self.uploads.glob("*.npz"))]

    def _brought_others(self) -> list[tuple[Path, str]]:
        folder = self.uploads / OTHERS
        return [(path, "uploaded") for path in sorted(folder.iterdir())] if folder.is_dir() else []

    def _fits(self, path: Path) -> bool:
        """Whether an entry of the data folder holds images and lies inside the folder."""
        if path.name.startswith(".") or not path.resolve().is_relative_to(self.folder or path):
            return False
        return path.suffix.lower() in ARCHIVES if path.is_file() else _holds_images(path)


def source_key(dataset: str) -> str:
    """Return the key of a source from the name or path that a spec uses."""
    if dataset in DATASETS:
        return dataset
    digest = hashlib.sha256(dataset.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{Path(dataset).stem}-{digest}"


def _found(key: str, sources: list[Source]) -> Source:
    for source in sources:
        if key in (source.key, source.dataset):
            return source
    raise DataError(f"There are no images called {key[:80]!r} here; they may have been removed.")


def _holds_images(folder: Path, depth: int = 3) -> bool:
    """Search for an image, at most `depth` levels below."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return False
    if any(entry.is_file() and is_image_name(entry.name) for entry in entries):
        return True
    below = (Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    return depth > 0 and any(_holds_images(path, depth - 1) for path in below)
