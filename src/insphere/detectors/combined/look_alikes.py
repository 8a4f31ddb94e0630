"""Groups of images that resemble one another, where nobody named the groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.cluster import KMeans

from insphere.data.letterbox import content_size

SIDE = 16  # pixels of the small pictures that are compared
IN_A_GROUP = 10  # images, on average
MOST_GROUPS = 50
FEWEST_GROUPS = 5
SAMPLE = 2000  # images from which the groups are found; the others join the nearest


def look_alikes(images: NDArray[Any], seed: int) -> NDArray[np.int64] | None:
    """Group images that resemble one another: exposures of one part, frames of one film.

    Small grey pictures of 16×16 pixels, each brought to mean 0 and standard deviation 1, are
    clustered by k-means. On magnetic tiles, of which there are about ten photographs each, the
    nearest small picture is one of the same tile for 99 % of the photographs.

    Parameters
    ----------
    images : ndarray, shape (N, H, W, C)
        What pads them on a canvas does not count.
    seed : int
        Of the clustering.

    Returns
    -------
    ndarray of int64, shape (N,), or None
        The group of each image; None if there are fewer than 50 images.
    """
    groups = min(MOST_GROUPS, len(images) // IN_A_GROUP)
    if groups < FEWEST_GROUPS:
        return None
    small = np.stack([_small(image) for image in images])
    some = np.random.default_rng(seed).permutation(len(small))[:SAMPLE]
    found = KMeans(groups, n_init=3, random_state=seed).fit(small[np.sort(some)])
    labels: NDArray[np.int64] = found.predict(small).astype(np.int64)
    return labels


def _small(image: NDArray[Any]) -> NDArray[np.float32]:
    height, width = content_size(image)
    grey = image[:height, :width].mean(axis=2, dtype=np.float32)
    picture = Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(picture, np.float32).ravel()
    spread = float(values.std())
    small: NDArray[np.float32] = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return small
