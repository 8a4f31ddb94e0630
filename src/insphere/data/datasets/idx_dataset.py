"""A data set whose original form is the four IDX files of MNIST."""

from __future__ import annotations

from pathlib import Path

from insphere.data.datasets.dataset import LocalDataset, Reader
from insphere.data.idx import find_idx, load_idx
from insphere.data.image_set import ImageSet


class IdxDataset(LocalDataset):
    """MNIST, or another data set in the same format."""

    def is_whole(self, folder: Path) -> bool:
        """Tell whether all four files are there."""
        return find_idx(folder) is not None

    def is_itself(self, folder: Path) -> bool:
        """Tell whether all four files are there."""
        return self.is_whole(folder)

    def read(self, path: Path, reader: Reader) -> ImageSet:
        """Read the four files, or an archive of arrays."""
        if path.is_dir() and self.is_whole(path):
            return load_idx(path, self.card.name, self.class_names)
        return reader(path)
