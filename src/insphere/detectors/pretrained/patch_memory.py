"""Nearest-neighbour search in a memory of normal patches (after PatchCore)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.random_projection import GaussianRandomProjection
from torch import nn

from insphere.detectors.base.checks import require_count
from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import seed_from
from insphere.detectors.base.parameters import parameters
from insphere.detectors.pretrained.patch_detector import PatchDetector
from insphere.detectors.pretrained.patch_scores import Floats
from insphere.detectors.pretrained.scoring_heads import NearestPatches
from insphere.features.extract import Features

CANDIDATES = 50_000  # patches from which the coreset is selected
PROJECTED = 64  # dimensions in which it is selected
AT_ONCE = 4096  # patches compared with the memory at a time


@parameters
class PatchMemory(PatchDetector):
    """Distance of each patch to the nearest stored one (after Roth et al. 2022, "PatchCore").

    The memory is a greedy coreset of the training patches: the next patch is always the one that
    is furthest from those already selected, in a random projection. Up to 50,000 training patches,
    drawn at random, are candidates, so that selection takes seconds for any number of patches. The
    threshold is placed on distances to patches of other images.

    Parameters
    ----------
    bank_size : int, default=2000
        Number of stored patches; all candidates if there are fewer.
    reweighting : int, default=0
        Weigh each distance by how rare the nearest stored patch m* is: by 1 less the softmax of the
        distances to m* and to its `reweighting` neighbours in the memory (Roth et al. 2022,
        equation 7, which takes 9 of them, and weighs only the highest distance). 0 does not.
    pooling, top_share, stages, neighbourhood, grid, smoothing, scale, region
        See `PatchDetector`; `pooling` is "max" by default.
    backbone, weights, resolution, resampling, mirrored, finetune, cache, device, precision
    callbacks
        See `PretrainedNetwork`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    bank_ : ndarray of float32, shape (bank_size, C)
        The stored patches.
    form_, backbone_, backbone_fingerprint_
        See `PatchDetector` and `PretrainedNetwork`.
    """

    card = MethodCard(
        key="patch-memory",
        title="Patch memory (PatchCore)",
        summary="distance of patches to the nearest stored normal patches",
        family="pretrained",
        takes=("images",),
        takes_classes=True,
        needs_pretrained=True,
    )

    _scores_as_if_new = True
    bank_size: int = 2000
    reweighting: int = 0

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        require_count("bank_size", self.bank_size, 1)
        require_count("reweighting", self.reweighting, 0)
        super()._prepare(X, labels)

    def _learn_from(self, X: Array) -> Floats:
        F = self._patches(X, fitting=True)
        n, patches, width = F.shape
        rng = np.random.default_rng(seed_from(self.random_state))
        rows = rng.permutation(n * patches)
        rows = rows[~np.isnan(F[..., 0]).ravel()[rows]][:CANDIDATES]
        candidates = F.reshape(-1, width)[rows].astype(np.float32)
        chosen = greedy_coreset(candidates, min(self.bank_size, len(rows)), rng)
        self.bank_ = np.ascontiguousarray(candidates[chosen])
        self._around = _neighbours(self.bank_, self.reweighting)
        scores = self._nearest(F, owners=rows[chosen] // patches)
        self._learn_places(scores)
        return self._pooled(scores)

    def _patch_scores(self, F: Features) -> Floats:
        return self._nearest(F)

    def _head(self) -> nn.Module:
        return nn.Sequential(self._patch_head(), self._pooling())

    def _patch_head(self) -> nn.Module:
        return NearestPatches(self.bank_, self._around)

    def _nearest(self, F: Features, owners: NDArray[np.int64] | None = None) -> Floats:
        """Return the distance of each patch to the memory, without the patches of its own image."""
        n, patches = F.shape[:2]
        step = max(1, AT_ONCE // patches)
        out = np.full((n, patches), np.nan)
        for start in range(0, n, step):
            part = F[start : start + step]
            known = ~np.isnan(part[..., 0])
            rows = part[known].astype(np.float32)
            if not len(rows):
                continue
            distances = euclidean_distances(rows, self.bank_)
            if owners is not None:
                image = np.repeat(np.arange(start, start + len(part)), known.sum(axis=1))
                distances[image[:, None] == owners[None, :]] = np.inf
            nearest = distances.min(axis=1)
            weights = self._rarity(distances)
            nearest[~np.isfinite(nearest)] = 0.0  # all stored patches are from one image
            out[start : start + step][known] = nearest * weights
        return out

    def _rarity(self, distances: NDArray[np.float32]) -> Floats | float:
        """Return the weight of each nearest distance, from the distances to the whole memory."""
        if self._around is None:
            return 1.0
        around = self._around[distances.argmin(axis=1)]
        near = np.take_along_axis(distances, around, axis=1)  # m* itself is the first
        finite = np.where(np.isfinite(near), near, 0.0)
        rare: Floats = 1 - softmax(finite, axis=1)[:, 0]
        return rare

    def _learned(self) -> dict[str, Array]:
        return {"bank": self.bank_} | (self._usual_arrays() if self.classes_ else {})

    def _set_learned(self, arrays: Mapping[str, Array]) -> None:
        self.bank_ = arrays["bank"]
        self._around = _neighbours(self.bank_, self.reweighting)
        self._set_usual(arrays)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = self._backbone_meta() | self._form_meta() | self._classes_meta()
        arrays = self._arrays_by_class() | self._backbone_arrays() | self._form_arrays()
        return arrays, meta | {"guard_findings": self.guard_findings_}

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_form(meta, arrays)
        self._restore_classes(arrays, meta)
        self.guard_findings_ = list(meta["guard_findings"])


def _neighbours(bank: NDArray[np.float32], count: int) -> NDArray[np.int64] | None:
    """Return for each stored patch itself and its nearest ones, or None if none are wanted."""
    if count == 0 or len(bank) == 1:
        return None
    distances = euclidean_distances(bank)
    np.fill_diagonal(distances, -1)  # itself is the first, also among equal ones
    order: NDArray[np.int64] = np.argsort(distances, axis=1, kind="stable")[:, : count + 1]
    return order


def greedy_coreset(
    rows: NDArray[np.float32], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Select rows that cover all others: the next row is the furthest from those selected.

    Parameters
    ----------
    rows : ndarray, shape (N, C)
        Candidates; compared in a random projection to 64 dimensions if they have more.
    size : int
        Number of rows to select, at most N.
    rng : numpy.random.Generator
        Draws the first row and the projection.

    Returns
    -------
    ndarray of int64, shape (size,)
        Their indices, in the order of selection.
    """
    if rows.shape[1] > PROJECTED:
        seed = int(rng.integers(2**31 - 1))
        rows = GaussianRandomProjection(PROJECTED, random_state=seed).fit_transform(rows)
    chosen = np.empty(size, np.int64)
    chosen[0] = rng.integers(len(rows))
    rows = np.ascontiguousarray(rows - rows.mean(axis=0), np.float32)
    squares = np.einsum("nc,nc->n", rows, rows)
    nearest = np.full(len(rows), np.inf, np.float32)
    for i in range(size):
        if i:
            chosen[i] = int(nearest.argmax())
        # ‖a − b‖² from one product of a matrix and a vector, which is what takes the time.
        to_new = squares - 2 * (rows @ rows[chosen[i]]) + squares[chosen[i]]
        np.minimum(nearest, to_new, out=nearest)
        nearest[chosen[i]] = -1
    return chosen
