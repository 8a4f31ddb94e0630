"""The base of detectors that score patches: grid, scores of images and heat maps."""

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
    enlargements,
    image_maps,
    pool_patches,
)
from insphere.detectors.pretrained.scoring_heads import PatchMaps, PatchPooling
from insphere.features import Form
from insphere.features.extract import BATCH
from insphere.features.module import FeatureModule
from insphere.nets.backbones import check_stages
from insphere.resources import rows_within

Half = NDArray[np.float16]
ENLARGED = 4  # enlargement from which images have no detail for the finest feature map


@parameters
class PatchDetector(NetworkDetector, PretrainedNetwork):
    """Patches from the feature maps of some stages, on one grid; see the concrete detectors.

    Parameters
    ----------
    pooling : {"max", "top", "weighted", "mean"}, default="max"
        How the scores of patches are pooled to the score of an image; see
        `insphere.detectors.pretrained.patch_scores.pool_patches`.
    top_share : float, default=0.1
        Share of the patches that "top" averages.
    stages : sequence of str or None, default=None
        Stages whose feature maps are used; None takes middle ones (strides 8 and 16).
    neighbourhood : int, default=3
        Side of the square around a position over which each feature map is averaged.
    grid : int or None, default=None
        Patches in a row and in a column. None takes the positions of the finest feature map; or of
        the coarsest if images were enlarged four times or more, and have no finer detail.
    smoothing : float or None, default=None
        Standard deviation, in pixels, of the Gaussian that smooths heat maps; None is half the
        distance of two patches.
    backbone, weights, resolution, resampling, mirrored, finetune, cache
        See `PretrainedNetwork`.
    device, precision, callbacks
        See `PretrainedNetwork`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    form_ : Form
        How patches are made from features.
    """

    _not_saved = PretrainedNetwork._not_saved

    pooling: Pooling = "max"
    top_share: float = 0.1
    neighbourhood: int = 3
    grid: int | None = None
    smoothing: float | None = None

    def _patch_scores(self, F: Half) -> Floats:
        """Return the scores (N, P) of patches (N, P, C); higher is more anomalous."""
        raise NotImplementedError

    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return heat maps: how anomalous the surroundings of each pixel are.

        All heat maps have the same scale and can be compared.

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

    def _patch_head(self) -> nn.Module:
        """Return what `_patch_scores` computes, as a module on patches (N, G, G, C)."""
        raise NotImplementedError

    def _map_module(self) -> nn.Module:
        height, width = self.modality_.sample_shape[1:]
        enlarging = enlargements(self.form_.grid, (height, width), self.smoothing)
        maps = PatchMaps(self._patch_head(), *enlarging).to(self._extractor.device)
        return nn.Sequential(FeatureModule(self._extractor, self._tail, self.form_), maps).eval()

    def _pooling(self) -> PatchPooling:
        return PatchPooling(self.pooling, self.top_share)

    def _resolve_form(self, size: tuple[int, int]) -> Form:
        """Return how patches are made for images of this height and width."""
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
