"""Optical digits of 8×8 pixels, which come with scikit-learn."""

from __future__ import annotations

import numpy as np

from insphere.data.datasets.dataset import PackagedDataset
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.image_set import ImageSet


class Digits8x8(PackagedDataset):
    """1,797 scanned digits."""

    card = DatasetCard(
        name="digits-8x8",
        title="Optical digits 8×8",
        image_shape=(8, 8, 1),
        n_classes=10,
        n_train=1797,
        n_test=0,
        origin="scikit-learn, load_digits (UCI, test part)",
    )
    class_names = tuple("0123456789")
    package = "scikit-learn"
    module = "sklearn"

    def load(self) -> ImageSet:
        """Return all digits; values 0…16 become 0…255."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = digits.target.astype(np.int64)
        return ImageSet(images, labels, self.class_names, name=self.card.name)
