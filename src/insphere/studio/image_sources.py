"""The images that can be selected: named data sets, a data folder, and uploads.

A source is selected by its key. A path in an address is never opened.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from insphere.data.datasets.find import available_datasets
from insphere.data.files import is_image_name
from insphere.errors import DataError
from insphere.experiments.runs.display_names import dataset_titles

ARCHIVES = (".zip", ".npz")


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
        cards = [card for card in available_datasets() if card.available]
        order = {"mnist-5k": 0, "digits-8x8": 1}
        cards.sort(key=lambda card: order.get(card.name, 2))
        named = {card.name for card in cards}
        used = {Path(card.location) for card in cards if card.location}
        kinds = dict.fromkeys((card.name for card in cards), "named")
        kinds |= {str(path): kind for path, kind in self._folders_and_uploads() if path not in used}
        titles = dataset_titles(kinds)
        return [
            Source(dataset if dataset in named else _key(dataset), dataset, titles[dataset], kind)
            for dataset, kind in kinds.items()
        ]

    def get(self, key: str) -> Source:
        """Return a source by its key, or by the name or path that a spec uses.

        Raises
        ------
        DataError
            If there is none.
        """
        for source in self.all():
            if key in (source.key, source.dataset):
                return source
        raise DataError(
            f"There are no images called {key[:80]!r} here; they may have been removed."
        )

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

    def _fits(self, path: Path) -> bool:
        """Whether an entry of the data folder holds images and lies inside the folder."""
        if path.name.startswith(".") or not path.resolve().is_relative_to(self.folder or path):
            return False
        return path.suffix.lower() in ARCHIVES if path.is_file() else _holds_images(path)


def _key(path: str) -> str:
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return f"{Path(path).stem}-{digest}"


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
