"""A Gaussian over patches at each place of a photograph (after PaDiM, Defard et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters
from insphere.detectors.pretrained.patch_detector import PatchDetector
from insphere.detectors.pretrained.patch_scores import Floats, Pooling
from insphere.detectors.pretrained.places import COUNT, Places, places_in
from insphere.detectors.pretrained.scoring_heads import GaussianPatches, slices
from insphere.errors import DataError, SpecError
from insphere.features.extract import Features
from insphere.nets.backbones import BackboneCard

Covariance = Literal["place", "shared"]
PRIOR = 2  # times the number of features: patches that the shared covariance weighs at a place
KEPT_BYTES = 2 << 30  # features of the training images that stay in memory between two passes
MOST_FEATURES = 1024  # whose covariances at all places fit the memory
WHITENINGS = "whitenings"  # name of the first matrices in a saved model


@parameters
class PatchGaussian(PatchDetector):
    """Mahalanobis distance of each patch to the normal patches at its place.

    A Gaussian at every pixel (Defard et al. 2021, "PaDiM") needs photographs that are aligned. Here
    a place is a distance to the borders (see `insphere.detectors.pretrained.places`), so that
    photographs may differ in size, and all that lies inside is one place. The covariance of a place
    is drawn towards that of all places by as many patches as two times the number of features, and
    towards a multiple of the identity by `shrinkage`. Directions in which normal patches vary
    little, where damage shows, count most in the distance: none of them is left out.

    The features of each stage are taken as independent of those of the others: the covariance has a
    block for each, and the squared distances of the stages are added. So each block rests on more
    patches for each of its numbers, and what is usual in one stage does not hide what is unusual in
    another.

    Parameters
    ----------
    joint : bool, default=False
        One covariance over the features of all stages, instead of a block for each.
    covariance : {"place", "shared"}, default="place"
        A covariance for each place, or one for all around the means of the places.
    shrinkage : float, default=0.01
        Added to the variances, as a share of their mean.
    directions : int or None, default=None
        Keep only this number of the directions in which normal patches vary least; None keeps all.
    places, pooling, top_share, stages, neighbourhood, grid, smoothing, scale, region
        See `PatchDetector`. Here `places` is "border", `scale` is "auto", `neighbourhood` is 1,
        `pooling` is "top" with a `top_share` of 0.03, and `stages` are one whose patches know their
        surroundings and those before it from half its stride on: s4, s5 and s6 of EfficientNet-Lite
        (strides 16, 16 and 32), on the grid of the finest.
    backbone, weights, resolution, resampling, mirrored, finetune, cache, device, precision
    callbacks
        See `PretrainedNetwork`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    means_ : ndarray of float32, shape (places, C)
        Mean of the patches at each place.
    whitenings_ : list of ndarray of float32, shapes (places or 1, features, directions)
        A matrix for the features of each stage, or one for all. The distance is the length of what
        (patch − mean) times these matrices is, side by side.
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

    joint: bool = False
    covariance: Covariance = "place"
    shrinkage: float = 0.01
    directions: int | None = None
    neighbourhood: int = 1
    places: Places = "border"
    scale: float | str | None = "auto"
    pooling: Pooling = "top"
    top_share: float = 0.03

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
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
        super()._prepare(X, labels)

    def _learn_from(self, X: Array) -> Floats:
        moments = _Moments(self._n_places, self._blocks)
        kept: list[Features] = []
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
        if not card.default_deep:
            return card.default_patches[-1:]
        last = card.stage(card.default_deep[-1])
        names = card.stage_names[: card.stage_names.index(last.name) + 1]
        return tuple(name for name in names if 2 * card.stage(name).stride >= last.stride)

    def _parts(self, X: Array, *, fitting: bool = False) -> Iterator[Features]:
        """Yield the patches of consecutive images."""
        for part in batches(X, self._at_once(X)):
            yield self._patches(part, fitting=fitting)

    @property
    def _blocks(self) -> list[int]:
        """Number of features of each block of the covariance."""
        return [sum(self._sizes)] if self.joint else self._sizes

    @property
    def _n_places(self) -> int:
        return COUNT if self.places == "border" else 1

    def _where(self, F: Features) -> NDArray[np.int64]:
        """Return the place of each patch, (N, P); −1 where there is none."""
        known = ~np.isnan(F[..., 0]).reshape(len(F), *self.form_.shape)
        where = np.full(known.shape, -1)
        for i, one in enumerate(known):
            where[i][one] = places_in(one)[one] if self._n_places > 1 else 0
        return where.reshape(len(F), -1)

    def _patch_scores(self, F: Features) -> Floats:
        where = self._where(F)
        scores = np.full(where.shape, np.nan)
        for place in np.unique(where[where >= 0]):
            here = where == place
            rows = F[here].astype(np.float32) - self.means_[place]
            total = np.zeros(len(rows))
            for block, own in zip(slices(self.whitenings_), self.whitenings_, strict=True):
                white = rows[:, block] @ own[place if len(own) > 1 else 0]
                total += np.einsum("nd,nd->n", white, white)
            scores[here] = np.sqrt(total)
        return scores

    def _head(self) -> nn.Module:
        return nn.Sequential(self._patch_head(), self._pooling())

    def _patch_head(self) -> nn.Module:
        known = self._judged
        where = places_in(known)[known] if self._n_places > 1 else np.zeros(known.sum(), np.int64)
        return GaussianPatches(self.means_, self.whitenings_, where)

    def _learned(self) -> dict[str, Array]:
        own = {"means": self.means_}
        for number, whitening in enumerate(self.whitenings_):
            own[_name(number)] = whitening
        return own | (self._usual_arrays() if self.classes_ else {})

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        self.means_, self.whitenings_ = arrays["means"], [arrays[WHITENINGS]]
        while (name := _name(len(self.whitenings_))) in arrays:
            self.whitenings_.append(arrays[name])
        self._set_usual(arrays)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = self._backbone_meta() | self._form_meta() | self._classes_meta()
        arrays = self._arrays_by_class() | self._backbone_arrays() | self._form_arrays()
        return arrays, meta | {"guard_findings": self.guard_findings_}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_form(meta, arrays)
        self._restore_classes(arrays, meta)
        self.guard_findings_ = list(meta["guard_findings"])


def _name(number: int) -> str:
    """Return the name of the matrices of a block in a saved model; earlier ones had one block."""
    return f"{WHITENINGS}.{number}" if number else WHITENINGS


class _Moments:
    """Sums over patches at each place, from which means and covariances follow.

    Parameters
    ----------
    places : int
        Number of places.
    blocks : sequence of int
        Number of features of each block of the covariance; one after the other.
    """

    def __init__(self, places: int, blocks: Sequence[int]) -> None:
        if max(blocks) > MOST_FEATURES:
            raise SpecError(
                f"A Gaussian over {max(blocks)} features for each patch takes too much memory: "
                f"name stages of at most {MOST_FEATURES} features, with joint=False."
            )
        self._n = np.zeros(places)
        self._sum = np.zeros((places, sum(blocks)))
        self._squares = [np.zeros((places, width, width)) for width in blocks]
        edges = np.cumsum([0, *blocks])
        self._slices = [slice(*pair) for pair in pairwise(edges.tolist())]
        self._shift: NDArray[np.float32] | None = None

    def add(self, F: Features, where: NDArray[np.int64]) -> None:
        """Add the patches (N, P, C) of some images."""
        if self._shift is None:
            # Sums of squares of what lies near zero keep their precision.
            self._shift = F[where >= 0].astype(np.float32).mean(axis=0)
        for place in np.unique(where[where >= 0]):
            for some in batches(F[where == place], 1 << 16):
                rows = some.astype(np.float32) - self._shift
                self._n[place] += len(rows)
                self._sum[place] += rows.sum(axis=0, dtype=np.float64)
                for square, block in zip(self._squares, self._slices, strict=True):
                    square[place] += rows[:, block].T @ rows[:, block]

    def gaussians(
        self, *, own: bool, shrinkage: float, directions: int | None
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Return the means, and the whitenings of each block; see `PatchGaussian`."""
        assert self._shift is not None
        total = float(self._n.sum())
        seen = np.maximum(self._n, 1)[:, None]
        means = np.where(self._n[:, None] > 0, self._sum / seen, self._sum.sum(axis=0) / total)
        whitenings, spread = [], 0.0
        for square, block in zip(self._squares, self._slices, strict=True):
            middle = means[:, block]
            within = square - self._n[:, None, None] * middle[:, :, None] * middle[:, None, :]
            shared = within.sum(axis=0) / total
            spread += float(np.trace(shared))
            if own and len(self._n) > 1:
                prior = PRIOR * len(shared)
                found = (within + prior * shared) / (self._n + prior)[:, None, None]
            else:
                found = shared[None]
            whitenings.append(np.stack([_whitening(c, shrinkage, directions) for c in found]))
        if not spread > 0:
            raise DataError("All patches of the training images are identical: nothing to learn.")
        return (means + self._shift).astype(np.float32), whitenings


def _whitening(covariance: Floats, shrinkage: float, directions: int | None) -> NDArray[np.float32]:
    variances, vectors = np.linalg.eigh(covariance)  # the smallest first
    level = max(float(variances.mean()), np.finfo(np.float64).tiny)  # a stage may be constant
    roots = np.sqrt(np.maximum(variances, 0) + shrinkage * level)
    whitening: NDArray[np.float32] = (vectors / roots)[:, :directions].astype(np.float32)
    return whitening
