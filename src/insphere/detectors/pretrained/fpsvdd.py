"""FPSVDD: a small head trained on patches of the features of a pretrained network."""

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
from insphere.detectors.pretrained.patch_detector import PatchDetector, of_head
from insphere.detectors.pretrained.patch_head import Start, head_spec, number_of_centers
from insphere.detectors.pretrained.patch_scores import Floats, Pooling
from insphere.detectors.pretrained.scoring_heads import ScoresOfPatches, SphereOfPatches
from insphere.features.extract import Features
from insphere.nets.patches import PatchSphere
from insphere.nets.spec import EncoderSpec
from insphere.training.device import resolve_device
from insphere.training.memory import keep_freed_memory
from insphere.training.objectives import radius_quantile
from insphere.training.patches import (
    DEFAULT_PHASE,
    PatchSpec,
    Unit,
    train_patches,
    untrained_patches,
    without_gaps,
)

SCORED_AT_ONCE = 1 << 15  # patches


@parameters
class FeaturePatchSVDD(PatchDetector):
    """Feature patching with the Deep SVDD objective (after Huang et al., Sensors 2025, 25(1), 67).

    The feature maps of middle stages of a frozen pretrained network are averaged over small
    neighbourhoods, resized to one grid and joined. A patch is the vector at one position. A small
    network φ without bias terms is trained to map the patches of normal images close to a centre
    c. The score of a patch p is ‖φ(p) − c‖². The scores of its patches give the score of an image
    and its heat map.

    Parameters
    ----------
    objective : {"patch", "image", "both"}, default="patch"
        What is mapped to the centre: every patch, the mean of φ(p) over each image, or both. The
        score of an image is then pooled from its patches, the squared distance of the mean, or the
        sum of both, each divided by its mean over the training images.
    pooling : {"max", "top", "weighted", "mean"}, default="top"
        How the scores of patches are pooled to the score of an image; see
        `insphere.detectors.pretrained.patch_scores.pool_patches`.
    head : EncoderSpec, dict or None, default=None
        The network φ, of kind mlp. None is one hidden layer of 128 and a representation of 64.
    whiten : float or None, default=None
        Whiten patches with this ε (see `insphere.preprocess.whitening.ZCAWhitening`) instead of
        standardising each feature.
    start : {"random", "whitened"}, default="random"
        Where φ starts: at random weights; or at the whitened features themselves, where the score
        is a squared Mahalanobis distance. It learns from there and stays near, so that it cannot
        collapse; see `insphere.nets.near_identity`.
    centers : int, default=1
        Number of centres, placed by k-means, of which the nearest counts; above 1 only if `start`
        is "whitened".
    epochs, lr, batch_size : optional
        Override 10 epochs, 1e-3 (the peak of one cycle) and 32 images. Without `epochs`, training
        on few images takes at least 250 steps.
    nu : float, default=0.1
        Share of the training patches outside the radius, which the history records.
    top_share, stages, neighbourhood, grid, smoothing, scale, region
        See `PatchDetector`.
    backbone, weights, resolution, resampling, mirrored, finetune, cache, device, precision
        See `PretrainedNetwork`.
    allow_collapse : bool, default=False
        Allow heads that can collapse, and do not stop the training when they do.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.
    checkpoint_dir : path, optional
        Folder for checkpoints of the head after each epoch.
    callbacks : sequence of Callback, default=()
        Objects that follow extraction and training; see `insphere.training.callbacks`.
    verbose : bool, default=False
        Show progress in the terminal.

    Attributes
    ----------
    center_ : ndarray, shape (rep_dim,)
        The centre c.
    radius_ : float
        Radius that leaves a share `nu` of the training images' scores outside.
    history_ : list of dict
        One record for each epoch; see `DeepSVDD`.
    guard_findings_ : list of str
        Messages of the collapse guard, and a note if the backbone is not pretrained.
    sphere_ : PatchSphere
        The head with its scaling and centre.
    backbone_, backbone_fingerprint_, form_
        See `PretrainedNetwork` and `PatchDetector`.
    """

    _fixed_unit = True
    _takes = ()  # it has several centres of its own
    card = MethodCard(
        key="fpsvdd",
        title="FPSVDD",
        summary="Deep SVDD on patches of pretrained features",
        family="pretrained",
        takes=("images",),
        needs_pretrained=True,
    )

    objective: Unit = "patch"
    pooling: Pooling = "top"
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

    # ------------------------------------------------------------------ OneClassDetector

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        keep_freed_memory()
        self._resolve()  # report a wrong setting before any work
        super()._prepare(X, labels)

    def _learn_from(self, X: Array) -> Floats:
        spec = self._resolve()
        F = self._patches(X, fitting=True)
        trained = train_patches(
            F,
            spec,
            **how_to_train(self),
        )
        self._adopt(spec, trained.sphere, trained.history)
        self.guard_findings_ = self._findings() + trained.guard.summary()
        patches, images = self._distances(F)
        self._learn_places(patches)
        self.scales_ = (_positive(self._pooled(patches).mean()), _positive(images.mean()))
        scores = self._joined(patches, images)
        self.radius_ = float(radius_quantile(torch.from_numpy(scores), spec.nu))
        return scores

    def _score_represented(self, F: Array) -> Floats:
        return self._joined(*self._distances(F))

    def _patch_scores(self, F: Features) -> Floats:
        return self._distances(F)[0]

    def _head(self) -> nn.Module:
        return SphereOfPatches(self.sphere_, self.spec_.unit, self.scales_, self._pooling())

    def _patch_head(self) -> nn.Module:
        return ScoresOfPatches(self.sphere_)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = {
            **self._backbone_meta(),
            **self._form_meta(),
            "spec": self.spec_.model_dump(mode="json"),
            "scales": list(self.scales_),
            "radius": self.radius_,
            "history": self.history_,
            "guard_findings": self.guard_findings_,
        }
        return arrays_of(self.sphere_) | self._backbone_arrays() | self._form_arrays(), meta

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_form(meta, arrays)
        with matching_weights():
            spec = PatchSpec.model_validate(meta["spec"])
            width = int(arrays["preprocessor.steps.0.mean"].size)
            sphere = untrained_patches(width, spec, number_of_centers(arrays["center"]))
            load_arrays(sphere, of_head(arrays), resolve_device(self.device))
        self._adopt(spec, sphere, list(meta["history"]))
        self.guard_findings_ = list(meta["guard_findings"])
        patch, image = meta["scales"]
        self.scales_ = (float(patch), float(image))
        self.radius_ = float(meta["radius"])

    # ------------------------------------------------------------------ inside

    def _adopt(self, spec: PatchSpec, sphere: PatchSphere, history: list[Any]) -> None:
        self.spec_ = spec
        self.sphere_ = sphere
        self.history_ = history
        self.center_ = sphere.center.cpu().numpy()

    def _distances(self, F: Features) -> tuple[Floats, Floats]:
        """Return squared distances of patches, (N, P), and of image means, (N,)."""
        missing = np.isnan(F[..., 0])
        F = without_gaps(F)
        step = max(1, SCORED_AT_ONCE // F.shape[1])
        device = self.sphere_.center.device
        with torch.inference_mode():
            parts = [
                self.sphere_(torch.from_numpy(F[s : s + step]).to(device))
                for s in range(0, len(F), step)
            ]
        patches, images = (
            torch.cat(part).double().cpu().numpy() for part in zip(*parts, strict=True)
        )
        patches[missing] = np.nan
        return patches, images

    def _joined(self, patches: Floats, images: Floats) -> Floats:
        """Return the score of each image."""
        if self.spec_.unit == "patch":
            return self._pooled(patches)
        if self.spec_.unit == "image":
            return images
        joined: Floats = self._pooled(patches) / self.scales_[0] + images / self.scales_[1]
        return joined

    def _resolve(self) -> PatchSpec:
        """Return the constructor's arguments as one spec."""
        return head_spec(
            self.head, DEFAULT_PHASE, self.objective, self.nu, self.allow_collapse,
            whiten=self.whiten, start=self.start, centers=self.centers,
            epochs=self.epochs, lr=self.lr, batch_size=self.batch_size,
        )  # fmt: skip


def _positive(value: Any) -> float:
    return max(float(value), float(np.finfo(np.float64).tiny))
