"""Fashion-MNIST: clothes in the form of MNIST."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from insphere.data.datasets.dataset import Reader, Torchvision
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.datasets.idx_dataset import IdxDataset
from insphere.data.image_set import ImageSet


class FashionMnist(IdxDataset):
    """Xiao, Rasul, Vollgraf, 2017."""

    card = DatasetCard(
        name="fashion-mnist",
        title="Fashion-MNIST",
        image_shape=(28, 28, 1),
        n_classes=10,
        n_train=60_000,
        n_test=10_000,
        origin="Xiao, Rasul, Vollgraf, 2017",
        extra="vision",
        local_forms=("fashion-mnist.npz", "FashionMNIST/raw", "fashion-mnist"),
    )
    class_names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    system_folder = Path("/usr/share/datasets/fashion-mnist")
    torchvision = Torchvision("FashionMNIST", "FashionMNIST/raw")

    def read(self, path: Path, reader: Reader) -> ImageSet:
        """Read the files; archives that number the classes get their names."""
        data = super().read(path, reader)
        if data.class_names == tuple("0123456789"):
            return replace(data, class_names=self.class_names)
        return data
