"""Deep SVDD on one pooled feature vector for each image: the comparison for patches."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.estimator import Array
from insphere.detectors.base.how_to_train import how_to_train
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import (
    arrays_of,
    load_arrays,
    matching_weights,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_features import Floats
from insphere.detectors.frozen_features.pretrained_network import without_backbone
from insphere.detectors.pretrained.patch_head import Start, head_spec, number_of_centers
from insphere.detectors.pretrained.pooled_detector import PooledDetector
from insphere.detectors.pretrained.scoring_heads import SphereOfVectors
from insphere.nets.patches import PatchSphere
from insphere.nets.spec import EncoderSpec
from insphere.training.device import resolve_device
from insphere.training.patches import DEFAULT_PHASE, PatchSpec, train_patches, untrained_patches

PHASE = DEFAULT_PHASE.model_copy(update={"batch_size": 200})


@parameters
class FeatureSVDD(PooledDetector):
    """A small head trained with the Deep SVDD objective on pooled features; it has no heat maps.

    Parameters
    ----------
    head : EncoderSpec, dict or None, default=None
        The network φ, of kind mlp. None is one hidden layer of 128 and a representation of 64.
    whiten : float or None, default=None
        Whiten the features with this ε (see `insphere.preprocess.whitening.ZCAWhitening`), so that
        a few directions of large variance do not dominate. It needs far more images than features.
        None standardises each feature.
    start : {"random", "whitened"}, default="random"
        Where φ starts: at random weights; or at the whitened features themselves, where the score
        is a squared Mahalanobis distance. It learns from there and stays near, so that it cannot
        collapse; see `insphere.nets.near_identity`.
    centers : int, default=1
        Number of centres, placed by k-means, of which the nearest counts; above 1 only if `start`
        is "whitened".
    epochs, lr, batch_size, nu, allow_collapse, checkpoint_dir, callbacks, verbose
        See `FeaturePatchSVDD`; the batch size is 200 images.
    backbone, weights, stages, statistic, focus, normalize, resolution, resampling
    mirrored, finetune, cache, device, precision
        See `PooledFeatures`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    center_, history_, guard_findings_, sphere_
        See `FeaturePatchSVDD`.
    """

    card = MethodCard(
        key="feature-svdd",
        title="Deep SVDD on pooled features",
        summary="Deep SVDD on one pretrained feature vector for each image",
        family="pretrained",
        takes=("images",),
        needs_pretrained=True,
    )

    _stored = ()
    _takes = ()  # it has several centres of its own

    head: EncoderSpec | Mapping[str, Any] | None = None
    whiten: float | None = None
    start: Start = "random"
    centers: int = 1
    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    nu: float = 0.1
    allow_collapse: bool = False
    checkpoint_dir: str | PathLike[str] | None = None
    verbose: bool = False

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        self._spec()  # report a wrong setting before any work
        super()._prepare(X, labels)

    def _learn_from(self, X: Array) -> None:
        super()._learn_from(X)
        self.guard_findings_ += self._seen

    def _learn(self, F: Floats) -> None:
        spec = self._spec()
        trained = train_patches(
            self._vectors(F),
            spec,
            **how_to_train(self),
        )
        self._adopt(spec, trained.sphere, trained.history)
        self._seen = trained.guard.summary()

    def _score(self, F: Floats) -> Floats:
        rows = torch.from_numpy(self._vectors(F)).to(self.sphere_.center.device)
        with torch.inference_mode():
            distances: Floats = self.sphere_(rows)[1].double().cpu().numpy()
        return distances

    def _head(self) -> nn.Module:
        return SphereOfVectors(self.sphere_, rounded=self._extractor.rounded)

    def _vectors(self, F: Floats) -> NDArray[np.floating[Any]]:
        """Return features as the head takes them, (N, 1, d)."""
        return F[:, None].astype(np.float16 if self._extractor.rounded else np.float32)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = super()._state()[1]
        meta |= {"spec": self.spec_.model_dump(mode="json"), "history": self.history_}
        return arrays_of(self.sphere_) | self._backbone_arrays(), meta

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        with matching_weights():
            spec = PatchSpec.model_validate(meta["spec"])
            width = int(arrays["preprocessor.steps.0.mean"].size)
            sphere = untrained_patches(width, spec, number_of_centers(arrays["center"]))
            load_arrays(sphere, without_backbone(arrays), resolve_device(self.device))
        self._adopt(spec, sphere, list(meta["history"]))

    def _adopt(self, spec: PatchSpec, sphere: PatchSphere, history: list[Any]) -> None:
        self.spec_ = spec
        self.sphere_ = sphere
        self.history_ = history
        self.center_ = sphere.center.cpu().numpy()

    def _spec(self) -> PatchSpec:
        return head_spec(
            self.head, PHASE, "image", self.nu, self.allow_collapse,
            whiten=self.whiten, start=self.start, centers=self.centers,
            epochs=self.epochs, lr=self.lr, batch_size=self.batch_size,
        )  # fmt: skip
