"""The base of detectors without a network: flattened input, principal components, plain state.

Each detector is fitted with scikit-learn and keeps only plain arrays. Scores are computed from
these arrays alone, so a saved and loaded detector gives the same scores bit for bit. Images are
flattened, and uint8 pixels divided by 255. The detectors of the paper's comparison can also
normalise the contrast as in the paper, which its fixed grids of kernel widths assume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if

from insphere.detectors.base.by_class import ByClass
from insphere.detectors.base.checks import is_real, require
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.many_rows import sampled_rows
from insphere.detectors.base.parameters import parameters
from insphere.detectors.shallow.principal_components import (
    LARGE,
    components_of_blocks,
    principal_components,
)
from insphere.errors import DataError
from insphere.fingerprint import array_fingerprint
from insphere.resources import rows_within

if TYPE_CHECKING:
    from torch import nn

    from insphere.detectors.shallow.scoring_modules import Projection

Floats = NDArray[np.float64]

BATCH = 1024
ALL_THAT_VARY = 1 - 1e-9  # of the variance, which leaves out directions without any
IMAGE_SHARE = 0.95  # of the variance, for pca="auto"


Method = TypeVar("Method", bound=Callable[..., Any])


def of_pixels(method: Method) -> Method:
    """Provide a method only if the detector compares pixels, not features of a network."""
    offered: Method = available_if(lambda detector: detector.features is None)(method)
    return offered


@parameters
class FlatDetector(ByClass):
    """A detector on one vector for each image; see the concrete detectors.

    Parameters
    ----------
    features : PretrainedFeatures, dict or None, default=None
        Source of the vectors: a pretrained network (`insphere.detectors.PretrainedFeatures`, or a
        dict of its parameters), or None for the pixels or the columns of a table.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    """

    features: Any = None

    # Parameters that some subclasses declare.
    pca: float | str | None = field(init=False, default=None)
    preprocess: str | None = field(init=False, default=None)
    _takes: ClassVar[tuple[str, ...]] = ()
    _stored: ClassVar[tuple[str, ...]]
    _table_share: ClassVar[float | None] = None
    _folds = 20  # they are fitted in no time

    # Set by `fit`; no parameters.
    _kept: NDArray[np.intp] | None = field(init=False, default=None)
    approximation_: str | None = field(init=False, default=None)

    @property
    def uses_pretrained(self) -> bool:
        """Whether `features` is given."""
        return self.features is not None

    def _learn(self, F: Floats) -> None:
        """Set the attributes named in `_stored` from features of shape (n, d)."""
        raise NotImplementedError

    def _score(self, F: Floats) -> Floats:
        """Score features of shape (n, d)."""
        raise NotImplementedError

    def _expected(self, F: Floats) -> Floats:
        """Return the normal features that each row of features (n, d) is compared with."""
        raise NotImplementedError

    def _comparable(self, F: Floats) -> Floats:
        """Return flattened pixels on the scale on which `_expected` compares them."""
        return F

    def _head(self) -> nn.Module:
        """Return what `_score` computes, as a module on vectors (N, d)."""
        raise NotImplementedError

    def _scaling(self) -> list[nn.Module]:
        """Return what `_comparable` computes, as modules."""
        return []

    def _vector_modules(self) -> list[nn.Module]:
        """Return the modules from raw samples to the vectors of `_pixels`."""
        from insphere.detectors.shallow.scoring_modules import Contrast, FlatVectors

        if self.features is not None:
            return [self.features_.vector_module()]
        contrast = [] if self.preprocess is None else [Contrast(self.low_, self.high_)]
        return [FlatVectors(), *contrast]

    def _projection(self) -> Projection | None:
        from insphere.detectors.shallow.scoring_modules import Projection

        return None if self._share is None else Projection(self.mean_, self.components_)

    def _module(self) -> nn.Module:
        from torch import nn

        from insphere.detectors.base.score_modules import NearestClass

        if self.members_:
            each = [nn.Sequential(*member._modules_of_class()) for member in self.members_]
            rest: list[nn.Module] = [NearestClass(each, self.radii_)]
        else:
            rest = self._modules_of_class()
        modules = [*self._vector_modules(), *rest]
        if self.features is not None:
            for module in rest:
                module.to(self.features_.device_)
        return nn.Sequential(*modules).eval()

    def _modules_of_class(self) -> list[nn.Module]:
        """Return the modules from vectors to scores."""
        projection = self._projection()
        between = [*self._scaling()] if projection is None else [projection, *self._scaling()]
        return [*between, self._head()]

    def _map_module(self) -> nn.Module | None:
        from torch import nn

        from insphere.detectors.shallow.scoring_modules import PixelMaps

        if self.members_ or self.features is not None or self.image_shape_ is None:
            return None
        head = self._head()
        if not hasattr(head, "expected"):
            return None
        vectors = nn.Sequential(*self._vector_modules(), *self._scaling())
        return PixelMaps(vectors, self._projection(), head, self.image_shape_)

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        require(
            self.preprocess in (None, "gcn"),
            f'preprocess is "gcn" or None, but got {self.preprocess!r}.',
        )
        require(
            self.features is None or self.preprocess is None,
            f"preprocess={self.preprocess!r} is for pixels, but features takes others; leave one "
            "of them out.",
        )
        if self.features is not None:
            self._adopt_features(X, labels)

    def _learn_from(self, X: Array) -> None:
        self._kept, self.approximation_ = None, None
        self._learn(self._learned_features(self._to_learn_from(X)))
        for name in self._names():
            # The same memory layout before saving and after loading gives bit-identical products.
            if isinstance(value := getattr(self, name), np.ndarray):
                setattr(self, name, np.ascontiguousarray(value))

    def _to_learn_from(self, X: Array) -> Array:
        """Return the samples that are learned from: all, unless a detector needs fewer."""
        return X

    def _learned_features(self, X: Array) -> Floats:
        """Fit everything that leads to the features of training samples, and return these."""
        share = self._share
        if share is not None:
            require(
                is_real(share) and 0 < float(share) < 1,
                f'pca is the share of variance to keep, between 0 and 1, None or "auto", '
                f"but got {self.pca!r}.",
            )
            if self.features is None and X.size > LARGE and X[:1].size <= len(X):
                return self._projected_in_blocks(X, float(share))
        F = self._vectors(X)
        if self.preprocess == "gcn":
            F = _contrast_normalised(F)
            self.low_, self.high_ = float(F.min()), float(F.max())
            F = self._scaled_to_extremes(F)
        _require_varied(F[0], F[1:], len(F))
        if share is None:
            self.mean_, self.components_ = np.zeros(F.shape[1]), np.empty((0, F.shape[1]))
        else:
            self.mean_, self.components_ = principal_components(F, float(share))
        return self._features(F)

    def _projected_in_blocks(self, X: Array, share: float) -> Floats:
        """Do what `_learned_features` does, for samples whose vectors would take gigabytes."""
        size = _batch(X)
        if self.preprocess == "gcn":
            parts = (_contrast_normalised(self._vectors(part)) for part in batches(X, size))
            ends = np.array([(part.min(), part.max()) for part in parts])
            self.low_, self.high_ = float(ends[:, 0].min()), float(ends[:, 1].max())

        def blocks() -> Iterator[Floats]:
            return map(self._pixels, batches(X, size))

        first = self._pixels(X[:1])[0]
        _require_varied(first, chain.from_iterable(blocks()), len(X))
        key = f"{self.preprocess} {array_fingerprint(X)}"
        self.mean_, self.components_ = components_of_blocks(blocks, share, key)
        F = np.empty((len(X), len(self.components_)))
        for start, part in enumerate(blocks()):
            F[start * size : start * size + len(part)] = self._features(part)
        return F

    def _sampled(self, F: Floats, most: Any) -> Floats:
        """Return the rows that are kept, and note which and what is said of it."""
        rows, self._kept, self.approximation_ = sampled_rows(F, most, self.random_state)
        return rows

    def _scores_of_kept(self, X: Array, of_kept: Floats) -> Floats:
        """Return scores of all training samples, from those of the kept ones among themselves."""
        if self._kept is None:
            return of_kept
        others = np.ones(len(X), dtype=bool)
        others[self._kept] = False
        scores = np.empty(len(X))
        scores[self._kept] = of_kept
        scores[others] = self._in_batches(X[others], self._score_represented)
        return scores

    def _represent(self, X: Array) -> Floats:
        return self._vectors(X)

    def _score_represented(self, F: Array) -> Floats:
        return self._score(self._features(self._contrasted(F)))

    def _at_once(self, X: Array) -> int:
        return _batch(X)

    def _maps_of_nearest(self, X: Any) -> NDArray[np.float32]:
        """Return the heat map of each image by its nearest class, in units of its radius."""
        data = self._read_images(X)
        nearest = self._class_matrix(data).argmin(axis=1)
        maps = np.empty(data.shape[:3], np.float32)
        for place, member in enumerate(self.members_):
            mine = nearest == place
            if mine.any():
                found = member._own_map(data[mine])
                maps[mine] = found / np.float32(self.radii_[place] ** 2)
        return maps

    def _own_map(self, data: Array) -> NDArray[np.float32]:
        """Return the heat maps of images that were read; see the concrete detectors."""
        raise NotImplementedError

    def _pixel_distances(self, data: Array) -> NDArray[np.float32]:
        """Return the squared distance of each pixel from the same pixel of a normal image.

        This is the image with which the detector compares; see each detector.
        """
        height, width, channels = data.shape[1:]
        parts = []
        for part in batches(data, _batch(data)):
            pixels = self._pixels(part)
            expected = self._expected(self._features(pixels))
            if self._share is not None:
                expected = expected @ self.components_ + self.mean_
            squared = (self._comparable(pixels) - expected) ** 2
            maps = squared.reshape(-1, height, width, channels).sum(axis=3)
            parts.append(maps.astype(np.float32))
        joined: NDArray[np.float32] = np.concatenate(parts)
        return joined

    @property
    def _share(self) -> float | str | None:
        """Share of the variance whose principal components are kept; None keeps the vectors."""
        if self.pca != "auto":
            return self.pca
        return IMAGE_SHARE if self.image_shape_ is not None else self._table_share

    def _adopt_features(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        """Fit a copy of `features` to the training images."""
        from insphere.detectors.frozen_features.pretrained_features import unfitted_features

        component = unfitted_features(self.features)
        if component.random_state is None:
            component.random_state = self.random_state
        self.features_ = component.fit(X, labels)

    def _vectors(self, X: Array) -> Floats:
        """Return the vector of each image before any other step, shape (n, d)."""
        if self.features is None:
            return _flat(X)
        vectors: Floats = self.features_.transform(X)
        return vectors

    def _pixels(self, X: Array) -> Floats:
        return self._contrasted(self._vectors(X))

    def _contrasted(self, F: Floats) -> Floats:
        return F if self.preprocess is None else self._scaled_to_extremes(_contrast_normalised(F))

    def _scaled_to_extremes(self, F: Floats) -> Floats:
        width = self.high_ - self.low_
        return (F - self.low_) / (width if width > 0 else 1.0)

    def _features(self, F: Floats) -> Floats:
        if self._share is None:
            return F
        if F.size <= LARGE:
            projected: Floats = (F - self.mean_) @ self.components_.T
            return projected
        rows = [(row - self.mean_) @ self.components_.T for row in F]  # no copy of all of them
        return np.array(rows)

    def _learned(self) -> dict[str, Array]:
        return {name: np.asarray(getattr(self, name)) for name in self._names()}

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        for name in self._names():
            value = arrays[name]
            setattr(self, name, value if value.ndim else value.item())

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, meta = self._arrays_by_class(), self._classes_meta()
        own = [self.approximation_, *(member.approximation_ for member in self.members_)]
        if said := [one for one in own if one]:
            self.approximation_ = "; ".join(dict.fromkeys(said))
            meta = meta | {"approximation": self.approximation_}
        if self.features is None:
            return arrays, meta
        of_features, described = self.features_.state()
        return arrays | of_features, meta | {"features": described}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        if self.features is not None:
            from insphere.detectors.frozen_features.pretrained_features import unfitted_features

            self.features_ = unfitted_features(self.features).restore(arrays, meta["features"])
        self._restore_classes(arrays, meta)
        self.approximation_ = meta.get("approximation")

    def _names(self) -> tuple[str, ...]:
        extremes = () if self.preprocess is None else ("low_", "high_")
        return ("mean_", "components_", *extremes, *self._stored)


def _require_varied(first: Floats, others: Iterable[Floats], n: int) -> None:
    """Raise DataError if all n vectors are equal."""
    if all((row == first).all() for row in others):
        raise DataError(f"All {n} training samples are identical: nothing to learn from.")


def _contrast_normalised(F: Floats) -> Floats:
    """Subtract each row's mean and divide by its mean absolute value, as Ruff et al. (2018) do."""
    F = F - F.mean(axis=1, keepdims=True)
    contrast = np.abs(F).mean(axis=1, keepdims=True)
    normalised: Floats = F / np.where(contrast > 1e-6, contrast, 1.0)
    return normalised


def _flat(X: Array) -> Floats:
    flat: Floats = X.reshape(len(X), -1).astype(np.float64)
    if X.dtype == np.uint8:
        flat /= 255
    return flat


def _batch(X: Array) -> int:
    """Return how many images are scored at once: a few copies of them are made in float64."""
    return rows_within(32 * X[:1].size, BATCH)
