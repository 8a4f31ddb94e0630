"""Distance to the nearest training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize as normalize_rows

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.many_rows import EXACT_ROWS
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.neighbors import (
    Cells,
    cell_centers,
    check_neighbors,
    check_search,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.suspects import (
    are_stored,
    neighbor_score,
    neighbors_to_keep,
    scores_as_if_new,
)
from insphere.detectors.shallow.vector_detector import FlatDetector, Floats, of_pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_BLUR = 20.0
MOST_REACH = 8
CANDIDATES = 20


@parameters
class KNNDetector(FlatDetector):
    """Mean distance to the nearest training images: a control that every method should beat.

    With two neighbours on L2-normalised pixels its mean AUC on MNIST is 97.98 % (all training and
    test images, mean over the ten classes; the distance to the second neighbour alone gives 97.94,
    without normalising the mean distance gives 95.50).

    The threshold is placed on leave-one-out distances, because each training image is its own
    nearest neighbour.

    Parameters
    ----------
    n_neighbors : int, default=2
        Neighbours whose Euclidean distances are averaged.
    blur : float, default=0.0
        Standard deviation in pixels of a Gaussian blur before images are compared. Lines that are
        shifted by a pixel are then near to each other.
    distortion : int, default=0
        Pixels by which each pixel of an image may move on its own before it is compared: the 20
        nearest training images are measured again by the image distortion model (Keysers et al.
        2007) on gradients. With ``blur=1.4`` and ``distortion=1`` it was ahead of blurred
        pixels on all four digits of MNIST that were tried. It takes some milliseconds an image, and
        cannot be exported.
    normalize : "l2" or None, default="l2"
        Scale every image to length 1, so that brightness does not matter. Rows of a table are never
        scaled so, because their size has a meaning.
    exact_rows : int, default=30000
        Training rows that are compared with; of more, a uniform sample of so many is kept, and
        ``approximation_`` says so.
    search : {"rows", "faiss"}, default="rows"
        "faiss" keeps all rows, in cells of which the nearest ones are searched (extra ``faiss``).
        A neighbour in another cell is missed now and then. It cannot be exported.
    pollution : float, dict or None, default=None
        Share of the training images that may be anomalous, such as 0.1. Three times this share,
        those that look least normal, are left out; with ``{"share": 0.1, "form": "hard"}`` a
        distance also counts in units of the root of that to the ones left out. See
        `insphere.detectors.base.suspects`.
    features
        Use a pretrained network instead of pixels; see `FlatDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="knn",
        title="2-nearest-neighbour on pixels",
        family="shallow",
        summary="distance to the nearest normal images, on raw pixels",
        takes_classes=True,
        is_control=True,
    )
    pca = None
    _takes = ("labels",)
    _scores_as_if_new = True

    n_neighbors: int = 2
    blur: float = 0.0
    normalize: str | None = "l2"
    exact_rows: int = EXACT_ROWS
    search: str = "rows"
    distortion: int = 0
    pollution: Any = None

    suspects_: Floats | None = field(init=False, default=None)
    _maps: Tensor | None = field(init=False, default=None)

    @property
    def _stored(self) -> tuple[str, ...]:  # type: ignore[override]
        cells = ("centers_",) if self.search == "faiss" else ()
        return ("training_", *cells, *(("suspects_",) if are_stored(self.pollution) else ()))

    def _fit(self, X: Array, *, labels: NDArray[np.int64] | None = None) -> Array | None:
        require(
            is_real(self.blur) and 0 <= self.blur <= MOST_BLUR,
            f"blur is a number of pixels from 0 to {MOST_BLUR}, but got {self.blur!r}.",
        )
        require(
            self.blur == 0 or (self.features is None and self.image_shape_ is not None),
            "blur is for images that are compared pixel by pixel; leave it out.",
        )
        require_count("distortion", self.distortion, 0)
        require(
            self.distortion <= MOST_REACH,
            f"distortion is at most {MOST_REACH} pixels, but got {self.distortion!r}.",
        )
        require(
            self.distortion == 0
            or (self.features is None and self.image_shape_ is not None and self.search == "rows"),
            "distortion is for images that are compared pixel by pixel, all with all: leave out "
            "either it, or features and search.",
        )
        require(
            self.pollution is None or (self.search == "rows" and self.distortion == 0),
            "pollution is for plain distances of all to all: leave out either it, or search and "
            "distortion.",
        )
        return super()._fit(X, labels=labels)

    def _vectors(self, X: Array) -> Floats:
        if self.blur == 0 or self.features is not None:
            return super()._vectors(X)
        images = X.astype(np.float64) / (255 if X.dtype == np.uint8 else 1)
        sigma = (0, self.blur, self.blur, 0)
        flat: Floats = gaussian_filter(images, sigma, mode="constant").reshape(len(X), -1)
        return flat

    def _vector_modules(self) -> list[nn.Module]:
        from insphere.detectors.shallow.scoring_modules import BlurredVectors

        return [BlurredVectors(self.blur)] if self.blur else super()._vector_modules()

    def _to_learn_from(self, X: Array) -> Array:
        """Choose the rows that are compared with before their pixels become float64."""
        if self.search == "faiss" or self.features is not None:
            return X
        return self._sampled(X, self.exact_rows)

    def _learn(self, F: Floats) -> None:
        require(
            self.normalize in ("l2", None),
            f'normalize is "l2" or None, but got {self.normalize!r}.',
        )
        check_search(self.search)
        chosen = self.search == "faiss" or self._kept is not None
        rows = F if chosen else self._sampled(F, self.exact_rows)
        check_neighbors(self.n_neighbors, len(rows))
        self._maps = None
        self.training_, self.suspects_, self._kept = neighbors_to_keep(
            self._scaled(rows, copy=False), self._kept, self.pollution, self.n_neighbors
        )
        if self.search == "faiss":
            self.centers_ = cell_centers(self.training_, self.random_state)
            self.approximation_ = (
                f"finds neighbours among all {len(rows):,} training rows with FAISS, in the "
                f"nearest of {len(self.centers_):,} cells"
            )
            self._cells = Cells(self.training_, self.centers_)

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        super()._set_learned(arrays)
        self._maps = None
        if self.search == "faiss":
            self._cells = Cells(self.training_, self.centers_)

    def _score(self, F: Floats) -> Floats:
        if self.search == "faiss":
            return self._cells.mean_distance(self._scaled(F), self.n_neighbors)
        if self.distortion:
            return self._distorted(self._scaled(F))
        return neighbor_score(self.training_, self.suspects_, self._scaled(F), self.n_neighbors)

    def _distorted(self, F: Floats | None) -> Floats:
        """Return mean distances by the image distortion model; None for the training images."""
        from insphere.detectors.base.image_distortion import distortion_of_pairs, gradients

        assert self.image_shape_ is not None
        if F is not None and not len(F):
            return np.empty(0)
        count = min(max(CANDIDATES, self.n_neighbors), len(self.training_) - (F is None))
        search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(self.training_)
        index = search.kneighbors(F, return_distance=False)
        if self._maps is None:
            self._maps = gradients(self.training_, self.image_shape_)
        new = self._maps if F is None else gradients(F, self.image_shape_)
        away = np.sort(distortion_of_pairs(new, self._maps, index, self.distortion), axis=1)
        mean: Floats = away[:, : self.n_neighbors].mean(axis=1)
        return mean

    def _head(self) -> nn.Module:
        require(
            self.search == "rows",
            'A model with search="faiss" cannot be exported: fit it with search="rows".',
        )
        require(
            self.distortion == 0,
            "A model with distortion cannot be exported: fit it with distortion=0.",
        )
        from insphere.detectors.base.score_modules import neighbors_head

        return neighbors_head(self.training_, self.suspects_, self.n_neighbors)

    def _scaling(self) -> list[nn.Module]:
        from insphere.detectors.shallow.scoring_modules import UnitLength

        plain = self.normalize is None or self.column_scale_ is not None
        return [] if plain else [UnitLength()]

    def _as_new(self, X: Array) -> Floats:
        if self.search == "faiss":
            return self._cells.mean_distance(None, self.n_neighbors)
        if self.distortion:
            return self._scores_of_kept(X, self._distorted(None))
        own = scores_as_if_new(self.training_, self.suspects_, self.n_neighbors)
        return self._scores_of_kept(X, own)

    @of_pixels
    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return heat maps: squared distance of each pixel from the mean of the nearest images.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            0 or more; higher is more anomalous.
        """
        return self._maps_of_nearest(X) if self.members_ else self._own_map(self._read_images(X))

    def _own_map(self, data: Array) -> NDArray[np.float32]:
        return self._pixel_distances(data)

    def _comparable(self, F: Floats) -> Floats:
        return self._scaled(F)

    def _expected(self, F: Floats) -> Floats:
        search = NearestNeighbors(n_neighbors=self.n_neighbors, algorithm="brute")
        index = search.fit(self.training_).kneighbors(self._scaled(F), return_distance=False)
        expected: Floats = self.training_[index].mean(axis=1)
        return expected

    def _scaled(self, F: Floats, *, copy: bool = True) -> Floats:
        if self.normalize is None or self.column_scale_ is not None:
            return F
        scaled: Floats = normalize_rows(F, copy=copy)
        return scaled
