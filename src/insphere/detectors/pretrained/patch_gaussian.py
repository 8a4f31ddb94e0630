"""A Gaussian over patches at each place of a photograph (after PaDiM, Defard et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pretrained_network import CHUNK
from insphere.detectors.pretrained.patch_detector import Half, PatchDetector
from insphere.detectors.pretrained.patch_scores import Floats, Pooling
from insphere.detectors.pretrained.places import COUNT, Places, places_in
from insphere.detectors.pretrained.scoring_heads import GaussianPatches
from insphere.errors import DataError, SpecError
from insphere.nets.backbones import BackboneCard

Covariance = Literal["place", "shared"]
PRIOR = 2  # times the number of features: patches that the shared covariance weighs at a place
KEPT_BYTES = 2 << 30  # features of the training images that stay in memory between two passes
MOST_FEATURES = 1024  # whose covariances at all places fit the memory


@parameters
class PatchGaussian(PatchDetector):
    """Mahalanobis distance of each patch to the normal patches at its place.

    A Gaussian at every pixel (Defard et al. 2021, "PaDiM") needs photographs that are aligned. Here
    a place is a distance to the borders (see `insphere.detectors.pretrained.places`), so that
    photographs may differ in size, and all that lies inside is one place. The covariance of a place
    is drawn towards that of all places by as many patches as two times the number of features, and
    towards a multiple of the identity by `shrinkage`. Directions in which normal patches vary
    little, where damage shows, count most in the distance: none of them is left out.

    Parameters
    ----------
    covariance : {"place", "shared"}, default="place"
        A covariance for each place, or one for all around the means of the places.
    shrinkage : float, default=0.01
        Added to the variances, as a share of their mean.
    directions : int or None, default=None
        Keep only this number of the directions in which normal patches vary least; None keeps all.
    places, pooling, top_share, stages, neighbourhood, grid, smoothing, scale, region
        See `PatchDetector`. Here `places` is "border", `scale` is "auto", `neighbourhood` is 1,
        `pooling` is "top" with a `top_share` of 0.03, and `stages` is one whose patches know their
        surroundings: s6 of EfficientNet-Lite.
    backbone, weights, resolution, resampling, mirrored, finetune, cache, device, precision
    callbacks
        See `PretrainedNetwork`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    means_ : ndarray of float32, shape (places, C)
        Mean of the patches at each place.
    whitenings_ : ndarray of float32, shape (places or 1, C, directions)
        The distance is the length of (patch − mean) times this matrix.
    form_, scale_, region_, usual_, backbone_, backbone_fingerprint_
        See `PatchDetector` and `PretrainedNetwork`.
    """

    card = MethodCard(
        key="patch-gaussian",
        title="Gaussian patches (PaDiM)",
        summary="Mahalanobis distance of patches to normal ones at the same place",
        family="pretrained",
        takes=("images",),
        takes_classes=True,
        needs_pretrained=True,
    )

    covariance: Covariance = "place"
    shrinkage: float = 0.01
    directions: int | None = None
    neighbourhood: int = 1
    places: Places = "border"
    scale: float | str | None = "auto"
    pooling: Pooling = "top"
    top_share: float = 0.03

    def _prepare(self, X: Array) -> None:
        require(
            self.covariance in get_args(Covariance),
            f'covariance is "place" or "shared", but got {self.covariance!r}.',
        )
        require(
            is_real(self.shrinkage) and self.shrinkage > 0,
            f"shrinkage is a number above 0, but got {self.shrinkage!r}.",
        )
        if self.directions is not None:
            require_count("directions", self.directions, 1)
        super()._prepare(X)

    def _learn_from(self, X: Array) -> Floats:
        moments = _Moments(self._n_places)
        kept: list[Half] = []
        size = 0
        for F in self._parts(X, fitting=True):
            moments.add(F, self._where(F))
            size += F.nbytes
            kept = [*kept, F] if size <= KEPT_BYTES else []
        self.means_, self.whitenings_ = moments.gaussians(
            own=self.covariance == "place", shrinkage=self.shrinkage, directions=self.directions
        )
        again = kept if size <= KEPT_BYTES else self._parts(X)
        scores = np.concatenate([self._patch_scores(F) for F in again])
        self._learn_places(scores)
        return self._pooled(scores)

    def _default_stages(self, card: BackboneCard) -> tuple[str, ...]:
        return card.default_deep or card.default_patches[-1:]

    def _parts(self, X: Array, *, fitting: bool = False) -> Iterator[Half]:
        """Yield the patches of consecutive images."""
        for part in batches(X, CHUNK):
            yield self._patches(part, fitting=fitting)

    @property
    def _n_places(self) -> int:
        return COUNT if self.places == "border" else 1

    def _where(self, F: Half) -> NDArray[np.int64]:
        """Return the place of each patch, (N, P); −1 where there is none."""
        known = ~np.isnan(F[..., 0]).reshape(len(F), *self.form_.shape)
        where = np.full(known.shape, -1)
        for i, one in enumerate(known):
            where[i][one] = places_in(one)[one] if self._n_places > 1 else 0
        return where.reshape(len(F), -1)

    def _patch_scores(self, F: Half) -> Floats:
        where = self._where(F)
        scores = np.full(where.shape, np.nan)
        for place in np.unique(where[where >= 0]):
            here = where == place
            rows = F[here].astype(np.float32) - self.means_[place]
            whitening = self.whitenings_[place if len(self.whitenings_) > 1 else 0]
            scores[here] = np.linalg.norm(rows @ whitening, axis=1)
        return scores

    def _head(self) -> nn.Module:
        return nn.Sequential(self._patch_head(), self._pooling())

    def _patch_head(self) -> nn.Module:
        known = np.ones(self.form_.shape, bool)
        where = places_in(known).ravel() if self._n_places > 1 else np.zeros(known.size, np.int64)
        return GaussianPatches(self.means_, self.whitenings_, where)

    def _learned(self) -> dict[str, Array]:
        own = {"means": self.means_, "whitenings": self.whitenings_}
        return own | (self._usual_arrays() if self.classes_ else {})

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        self.means_, self.whitenings_ = arrays["means"], arrays["whitenings"]
        self._set_usual(arrays)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = self._backbone_meta() | self._form_meta() | self._classes_meta()
        arrays = self._arrays_by_class() | self._backbone_arrays() | self._form_arrays()
        return arrays, meta | {"guard_findings": self.guard_findings_}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_form(meta, arrays)
        self._restore_classes(arrays, meta)
        self.guard_findings_ = list(meta["guard_findings"])


class _Moments:
    """Sums over patches at each place, from which means and covariances follow.

    Parameters
    ----------
    places : int
        Number of places.
    """

    def __init__(self, places: int) -> None:
        self._n = np.zeros(places)
        self._shift: NDArray[np.float32] | None = None

    def add(self, F: Half, where: NDArray[np.int64]) -> None:
        """Add the patches (N, P, C) of some images."""
        if self._shift is None:
            width = F.shape[2]
            if width > MOST_FEATURES:
                raise SpecError(
                    f"A Gaussian over {width} features for each patch takes too much memory: name "
                    f"fewer stages, of at most {MOST_FEATURES} features together."
                )
            # Sums of squares of what lies near zero keep their precision.
            self._shift = F[where >= 0].astype(np.float32).mean(axis=0)
            self._sum = np.zeros((len(self._n), width))
            self._square = np.zeros((len(self._n), width, width))
        for place in np.unique(where[where >= 0]):
            for some in batches(F[where == place], 1 << 16):
                rows = some.astype(np.float32) - self._shift
                self._n[place] += len(rows)
                self._sum[place] += rows.sum(axis=0, dtype=np.float64)
                self._square[place] += rows.T @ rows

    def gaussians(
        self, *, own: bool, shrinkage: float, directions: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the mean and the whitening of each place; see `PatchGaussian`."""
        assert self._shift is not None
        total = float(self._n.sum())
        width = len(self._shift)
        overall = self._sum.sum(axis=0) / total
        seen = np.maximum(self._n, 1)[:, None]
        means = np.where(self._n[:, None] > 0, self._sum / seen, overall)
        within = self._square - self._n[:, None, None] * means[:, :, None] * means[:, None, :]
        shared = within.sum(axis=0) / total
        if not np.trace(shared) > 0:
            raise DataError("All patches of the training images are identical: nothing to learn.")
        if own and len(self._n) > 1:
            prior = PRIOR * width
            amounts = (self._n + prior)[:, None, None]
            found = (within + prior * shared) / amounts
        else:
            found = shared[None]
        whitenings = np.stack([_whitening(one, shrinkage, directions) for one in found])
        return (means + self._shift).astype(np.float32), np.ascontiguousarray(whitenings)


def _whitening(covariance: Floats, shrinkage: float, directions: int | None) -> NDArray[np.float32]:
    variances, vectors = np.linalg.eigh(covariance)  # the smallest first
    roots = np.sqrt(np.maximum(variances, 0) + shrinkage * variances.mean())
    whitening: NDArray[np.float32] = (vectors / roots)[:, :directions].astype(np.float32)
    return whitening
