"""CIFAR-10: small photographs of ten kinds of things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from insphere.data.datasets.dataset import LocalDataset, Reader, Torchvision
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.image_set import ImageSet
from insphere.errors import DataError, require

BATCHES = "cifar-10-batches-py"
JPEG_NOTE = (
    "The pixels of this CIFAR-10 went through JPEG once, so that AUCs can differ a little from "
    "those on the original."
)


class Cifar10(LocalDataset):
    """Krizhevsky, 2009; published results are those of Ruff et al. (2018)."""

    card = DatasetCard(
        name="cifar10",
        title="CIFAR-10",
        image_shape=(32, 32, 3),
        n_classes=10,
        n_train=50_000,
        n_test=10_000,
        origin="Krizhevsky, 2009",
        extra="vision",
        local_forms=(BATCHES, "cifar10.npz", "cifar10.zip", "cifar10-jpeg.zip", "cifar10"),
    )
    class_names = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    quiet_notes = (JPEG_NOTE,)
    torchvision = Torchvision("CIFAR10", BATCHES)

    def read(self, path: Path, reader: Reader) -> ImageSet:
        """Read the original files, an archive of arrays, or a folder or zip of images."""
        if path.name == BATCHES:
            return read_batches(path, self.card.name)
        data = reader(path)
        if data.paths and data.paths[0].lower().endswith((".jpg", ".jpeg")):
            return replace(data, notes=(*data.notes, JPEG_NOTE))
        return data


def read_batches(folder: Path, name: str) -> ImageSet:
    """Read CIFAR-10 from the folder ``cifar-10-batches-py``.

    The files are pickles, which can run any code. So torchvision first compares each of them with
    the checksum of the published file.

    Raises
    ------
    DataError
        If a file is not the published one.
    MissingExtraError
        If torchvision is not installed.
    """
    datasets = require("torchvision.datasets", "vision", "Reading the original files of CIFAR-10")
    try:
        parts = [datasets.CIFAR10(str(folder.parent), train=train) for train in (True, False)]
    except RuntimeError as error:
        raise DataError(
            f"{folder} is incomplete or differs from the published CIFAR-10: get it again with "
            "download=True."
        ) from error
    return ImageSet(
        np.concatenate([part.data for part in parts]),
        np.concatenate([np.asarray(part.targets, np.int64) for part in parts]),
        tuple(parts[0].classes),
        name=name,
        is_test=np.repeat([False, True], [len(part.data) for part in parts]),
    )
