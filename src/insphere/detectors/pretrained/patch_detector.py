"""What detectors that score patches share: their grid, scores of images, anomaly maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.network_detector import NetworkDetector
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pretrained_network import CHUNK, PretrainedNetwork
from insphere.detectors.pretrained.patch_scores import (
    Floats,
    Pooling,
    check_pooling,
    image_maps,
    pool_patches,
)
from insphere.detectors.pretrained.scoring_heads import PatchPooling
from insphere.features import Form
from insphere.features.extract import BATCH
from insphere.features.module import FeatureModule
from insphere.nets.backbones import check_stages
from insphere.resources import rows_within

Half = NDArray[np.float16]
ENLARGED = 4  # times, from which images have no detail for the finest map to show


@parameters
class PatchDetector(NetworkDetector, PretrainedNetwork):
    """Patches of some stages' maps on one grid; see the concrete detectors.

    Parameters
    ----------
    pooling : {"max", "top", "weighted", "mean"}, default="max"
        How patches make an image's score; see
        `insphere.detectors.pretrained.patch_scores.pool_patches`.
    top_share : float, default=0.1
        Share of the patches that "top" averages.
    stages : sequence of str or None, default=None
        Whose maps are patched; None takes middle ones (strides 8 and 16).
    neighbourhood : int, default=3
        Side of the square over which each map is averaged around a position.
    grid : int or None, default=None
        Patches in a row and in a column. None takes as many as the finest map has, or the coarsest
        where images were enlarged four times or more and have no more detail than that.
    smoothing : float or None, default=None
        Standard deviation, in pixels, of the Gaussian over maps; None is half the distance of two
        patches.
    backbone, weights, resolution, resampling, mirrored, finetune, cache
        See `PretrainedNetwork`.
    device, precision, callbacks
        See `PretrainedNetwork`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    form_ : Form
        What patches are made of.
    """

    _not_saved = PretrainedNetwork._not_saved

    pooling: Pooling = "max"
    top_share: float = 0.1
    neighbourhood: int = 3
    grid: int | None = None
    smoothing: float | None = None

    def _patch_scores(self, F: Half) -> Floats:
        """Score patches of shape (N, P, C); (N, P), higher is more anomalous."""
        raise NotImplementedError

    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return how anomalous each pixel's surroundings are.

        All maps are on one scale, so that they can be compared.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            At the resolution of the images.
        """
        check_is_fitted(self)
        data = self._read(X)
        height, width = data.shape[1:3]
        parts = []
        few = rows_within(32 * height * width, CHUNK)  # a few copies of the maps at once
        for part in batches(data, max(few, BATCH)):
            scores = self._patch_scores(self._patches(part))
            side = self.form_.grid
            grids = scores.reshape(len(part), side, side)
            parts.append(image_maps(grids, (height, width), self.smoothing))
        return np.concatenate(parts)

    def _head(self) -> nn.Module:
        """Return the module from patches (N, G, G, C) to scores."""
        raise NotImplementedError

    def _module(self) -> nn.Module:
        head = self._head().to(self._extractor.device)
        return nn.Sequential(FeatureModule(self._extractor, self._tail, self.form_), head).eval()

    def _pooling(self) -> PatchPooling:
        return PatchPooling(self.pooling, self.top_share)

    def _resolve_form(self, size: tuple[int, int]) -> Form:
        """Return what patches are made of for images of this height and width."""
        card = self.backbone_
        stages = check_stages(
            card, card.default_patches if self.stages is None else tuple(self.stages)
        )
        if self.stages is None and self._tail is not None:
            stages = self._stages_in_use[-1:]
        self._check_in_use(stages)
        require_count("neighbourhood", self.neighbourhood, 1)
        require(
            self.neighbourhood % 2 == 1, f"neighbourhood is odd, but got {self.neighbourhood!r}."
        )
        check_pooling(self.pooling, self.top_share)
        require(
            self.smoothing is None or (is_real(self.smoothing) and self.smoothing >= 0),
            f"smoothing is a number of pixels or None, but got {self.smoothing!r}.",
        )
        if self.grid is not None:
            require_count("grid", self.grid, 1)
            return Form("patches", stages, self.neighbourhood, int(self.grid))
        resolution = self._extractor.resolution
        strides = [card.stage(name).stride for name in stages]
        stride = max(strides) if max(size) * ENLARGED <= resolution else min(strides)
        return Form("patches", stages, self.neighbourhood, max(1, resolution // stride))

    def _patches(self, X: Array, *, fitting: bool = False) -> Half:
        """Return the patches of images, shape (N, P, C)."""
        values = self._extract(X, self.form_, fitting=fitting)
        return values.reshape(len(values), -1, values.shape[-1])

    def _pooled(self, scores: Floats) -> Floats:
        return pool_patches(scores, self.pooling, self.top_share)

    def _form_meta(self) -> dict[str, Any]:
        return {"form": self.form_.settings()}

    def _restore_form(self, meta: Any) -> None:
        form = dict(meta["form"])
        form["stages"] = tuple(form["stages"])
        self.form_: Form = Form(**form)
