"""MNIST: handwritten digits."""

from __future__ import annotations

from insphere.data.datasets.dataset import Torchvision
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.datasets.idx_dataset import IdxDataset


class Mnist(IdxDataset):
    """LeCun, Cortes, Burges, 1998; published results are those of Ruff et al. (2018)."""

    card = DatasetCard(
        name="mnist",
        title="MNIST",
        image_shape=(28, 28, 1),
        n_classes=10,
        n_train=60_000,
        n_test=10_000,
        origin="LeCun, Cortes, Burges, 1998",
        extra="vision",
        local_forms=("mnist.npz", "MNIST/raw", "mnist"),
    )
    class_names = tuple("0123456789")
    torchvision = Torchvision("MNIST", "MNIST/raw")
