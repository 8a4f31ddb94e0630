"""A memory of normal patches: what is far from all of them is anomalous (after PatchCore)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.random_projection import GaussianRandomProjection

from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.network_state import seed_from
from insphere.detectors.pretrained.backbone_detector import CHUNK
from insphere.detectors.pretrained.patch_detector import Half, PatchDetector
from insphere.detectors.pretrained.patch_scores import Floats, Pooling
from insphere.detectors.shallow.vector_detector import require_count
from insphere.features.extract import Resampling
from insphere.nets.backbones import DEFAULT
from insphere.training.callbacks import Callback
from insphere.training.device import Precision
from insphere.training.finetune import FinetuneSpec

CANDIDATES = 50_000  # patches that the coreset is chosen from
PROJECTED = 64  # dimensions in which it is chosen
AT_ONCE = 4096  # patches compared with the bank at once


class PatchMemory(PatchDetector):
    """Distance of each patch to the nearest remembered one (after Roth et al. 2022, "PatchCore").

    What is remembered is a greedy coreset of the training patches: each next one is the patch that
    lies furthest from those already chosen, in a random projection. Up to 50,000 training patches,
    drawn at random, are candidates. The threshold rests on distances to patches of other images.

    Parameters
    ----------
    bank_size : int, default=2000
        Patches to remember; all candidates if they are fewer.
    pooling : {"max", "top", "weighted", "mean"}, default="max"
        How patches make an image's score.
    top_share : float, default=0.1
        Share of the patches that "top" averages.
    backbone, weights, stages, neighbourhood, grid, resolution, resampling, mirrored, smoothing
        See `FeaturePatchSVDD`.
    cache, contamination, false_alarm_rate, calibration, device, precision, callbacks, random_state
        See `FeaturePatchSVDD`.

    Attributes
    ----------
    bank_ : ndarray of float32, shape (bank_size, C)
        The remembered patches.
    form_, backbone_, backbone_fingerprint_
        See `PatchDetector` and `BackboneDetector`.
    """

    def __init__(
        self,
        *,
        bank_size: int = 2000,
        pooling: Pooling = "max",
        top_share: float = 0.1,
        backbone: str = DEFAULT,
        weights: str | PathLike[str] | None = None,
        stages: Sequence[str] | None = None,
        neighbourhood: int = 3,
        grid: int | None = None,
        resolution: int | None = None,
        resampling: Resampling = "bicubic",
        mirrored: bool = False,
        finetune: int | Mapping[str, Any] | FinetuneSpec | None = None,
        smoothing: float | None = None,
        cache: bool = True,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        device: str = "auto",
        precision: Precision = "auto",
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
    ) -> None:
        self.bank_size = bank_size
        self.pooling = pooling
        self.top_share = top_share
        self.backbone = backbone
        self.weights = weights
        self.stages = stages
        self.neighbourhood = neighbourhood
        self.grid = grid
        self.resolution = resolution
        self.resampling = resampling
        self.mirrored = mirrored
        self.finetune = finetune
        self.smoothing = smoothing
        self.cache = cache
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.random_state = random_state

    def _fit(self, X: Array) -> None:
        self._require_images()
        require_count("bank_size", self.bank_size, 1)
        self._open()
        self._adapt(X)
        self.form_ = self._resolve_form((X.shape[1], X.shape[2]))
        F = self._patches(X, fitting=True)
        n, patches, width = F.shape
        rng = np.random.default_rng(seed_from(self.random_state))
        rows = rng.permutation(n * patches)[:CANDIDATES]
        candidates = F.reshape(-1, width)[rows].astype(np.float32)
        chosen = greedy_coreset(candidates, min(self.bank_size, len(rows)), rng)
        self.bank_ = np.ascontiguousarray(candidates[chosen])
        scores = self._nearest(F, owners=rows[chosen] // patches)
        self._reference = self._pooled(scores)
        self.guard_findings_ = self._findings()

    def _training_scores(self, X: Array) -> Floats:
        scores: Floats = self.__dict__.pop("_reference")
        return scores

    def _anomaly_score(self, X: Array) -> Floats:
        parts = [self._pooled(self._nearest(self._patches(p))) for p in batches(X, CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _patch_scores(self, F: Half) -> Floats:
        return self._nearest(F)

    def _nearest(self, F: Half, owners: NDArray[np.int64] | None = None) -> Floats:
        """Return the distance of each patch to the bank, without the patches of its own image."""
        n, patches, width = F.shape
        step = max(1, AT_ONCE // patches)
        out = np.empty((n, patches))
        for start in range(0, n, step):
            part = F[start : start + step]
            rows = part.reshape(-1, width).astype(np.float32)
            distances = euclidean_distances(rows, self.bank_)
            if owners is not None:
                image = np.repeat(np.arange(start, start + len(part)), patches)
                distances[image[:, None] == owners[None, :]] = np.inf
            out[start : start + step] = distances.min(axis=1).reshape(len(part), patches)
        if not np.isfinite(out).all():  # one image owns the whole bank
            out[~np.isfinite(out)] = 0.0
        return out

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = self._backbone_meta() | self._form_meta()
        return {"bank": self.bank_} | self._backbone_arrays(), meta | {
            "guard_findings": self.guard_findings_
        }

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_backbone(meta, arrays)
        self._restore_form(meta)
        self.bank_ = arrays["bank"]
        self.guard_findings_ = list(meta["guard_findings"])


def greedy_coreset(
    rows: NDArray[np.float32], size: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose rows so that every row has a chosen one near: each next is the furthest from them.

    Parameters
    ----------
    rows : ndarray, shape (N, C)
        Candidates; compared in a random projection to 64 dimensions if they have more.
    size : int
        How many to choose, at most N.
    rng : numpy.random.Generator
        Draws the first row and the projection.

    Returns
    -------
    ndarray of int64, shape (size,)
        Their indices, in the order of choice.
    """
    if rows.shape[1] > PROJECTED:
        seed = int(rng.integers(2**31 - 1))
        rows = GaussianRandomProjection(PROJECTED, random_state=seed).fit_transform(rows)
    chosen = np.empty(size, np.int64)
    chosen[0] = rng.integers(len(rows))
    nearest = np.full(len(rows), np.inf, np.float32)
    for i in range(size):
        if i:
            chosen[i] = int(nearest.argmax())
        difference = rows - rows[chosen[i]]
        np.minimum(nearest, np.einsum("nc,nc->n", difference, difference), out=nearest)
    return chosen
