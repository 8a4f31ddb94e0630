"""One pooled feature vector for each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.checks import is_real, require
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_vectors import PooledVectors
from insphere.detectors.frozen_features.pretrained_network import Array, PretrainedNetwork
from insphere.features import Form, choose_pooled, pooled_form
from insphere.features.extract import Features
from insphere.features.module import FeatureModule
from insphere.nets.backbones import Stage, check_stages

Floats = NDArray[np.float64]
Statistic = Literal["mean", "max", "both"]
Normalize = Literal["root-l2", "l2", "root"]


@parameters
class PooledFeatures(PretrainedNetwork):
    """Pooled vectors of some stages of a pretrained network, normalised and joined.

    Parameters
    ----------
    stages : sequence of str or None, default=None
        Stages whose pooled vectors are joined; None takes the last one, and of several backbones
        the last one of each.
    statistic : {"mean", "max", "both"}, default="mean"
        What is computed over the feature map of each stage.
    focus : float or None, default=None
        Give the middle of the image more weight in the mean: weights fall with the distance from
        the middle like a normal density with this standard deviation, where half the side of the
        image is 1. None gives all positions the same weight.
    normalize : {"root-l2", "l2", "root"} or None, default="root-l2"
        How each vector is scaled; see `pooled_vectors`.
    backbone, weights, resolution, resampling, mirrored, finetune, cache
        See `PretrainedNetwork`.
    device, precision, callbacks, random_state
        See `PretrainedNetwork`.
    """

    statistic: Statistic = "mean"
    focus: float | None = None
    normalize: Normalize | None = "root-l2"

    def _pooled(self, X: Array, *, fitting: bool = False) -> Floats:
        form, names = self._wanted()
        values = self._extract(X, form, fitting=fitting)
        described = [self.backbone_.stage(name) for name in form.stages]
        return pooled_vectors(values, described, names, self.statistic, self.normalize)

    def _vector_module(self) -> nn.Module:
        """Return the module from raw images to the values of `_pooled`."""
        form, names = self._wanted()
        described = [self.backbone_.stage(name) for name in form.stages]
        places = np.arange(2 * sum(stage.channels for stage in described))[None]
        columns = [
            choose_pooled(places, described, (name,), (kind,))[0]
            for name in names
            for kind in _kinds(self.statistic)
        ]
        features = FeatureModule(self._extractor, self._tail, form, mirrored=self.mirrored)
        return nn.Sequential(features, PooledVectors(columns, self.normalize)).eval()

    def _wanted(self) -> tuple[Form, Sequence[str]]:
        """Return the form of extraction, and the stages whose vectors are joined."""
        card = self.backbone_
        require(
            self.focus is None or (is_real(self.focus) and self.focus > 0),
            f"focus is None or a positive number, but got {self.focus!r}.",
        )
        form = pooled_form(card, self._stages_in_use, self.focus)
        names = (
            card.choose_stages(lambda one: one.stage_names[-1:])
            if self.stages is None
            else check_stages(card, self.stages)
        )
        self._check_in_use(names)
        return form, names


def pooled_vectors(
    values: Features,
    described: Sequence[Stage],
    names: Sequence[str],
    statistic: Statistic,
    normalize: Normalize | None,
) -> Floats:
    """Select stages and statistics, and normalise each of them separately.

    Parameters
    ----------
    values : ndarray of float16 or float32, shape (N, 2 ΣC)
        Features of `pooled_form`.
    described : sequence of Stage
        The stages in it.
    names : sequence of str
        Stages whose vectors are joined.
    statistic : {"mean", "max", "both"}
        The statistic that was pooled.
    normalize : {"root-l2", "l2", "root"} or None
        "l2": every vector has length 1. "root-l2": the same after a signed square root, so that a
        few large values do not dominate (Perronnin et al. 2010). "root": the root alone, so that
        the length stays, which tells known from unknown after fine-tuning by classes.

    Returns
    -------
    ndarray of float64, shape (N, d)
    """
    require(
        normalize in ("root-l2", "l2", "root", None),
        f'normalize is "root-l2", "l2", "root" or None, but got {normalize!r}.',
    )
    require(
        statistic in ("mean", "max", "both"),
        f'statistic is "mean", "max" or "both", but got {statistic!r}.',
    )
    parts = []
    for name in names:
        for kind in _kinds(statistic):
            part: Floats = choose_pooled(values, described, (name,), (kind,)).astype(np.float64)
            if normalize in ("root-l2", "root"):
                part = np.sign(part) * np.sqrt(np.abs(part))
            if normalize in ("root-l2", "l2"):
                length = np.linalg.norm(part, axis=1, keepdims=True)
                part = part / np.where(length > 0, length, 1)
            parts.append(part)
    joined: Floats = np.concatenate(parts, axis=1)
    return joined


def _kinds(statistic: Statistic) -> tuple[str, ...]:
    return ("mean", "max") if statistic == "both" else (statistic,)
