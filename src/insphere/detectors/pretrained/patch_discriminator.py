"""A discriminator of patches: normal ones against damage and noise (SimpleNet, GLASS)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.data.letterbox import content_size, on_canvas
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.how_to_train import how_to_train
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import (
    arrays_of,
    load_arrays,
    matching_weights,
    seed_from,
    settings,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pretrained_network import CHUNK
from insphere.detectors.pretrained.patch_detector import PatchDetector, of_head
from insphere.detectors.pretrained.patch_scores import Floats, Pooling
from insphere.detectors.pretrained.scoring_heads import DiscriminatorOfPatches
from insphere.features.extract import Features
from insphere.nets.backbones import BackboneCard
from insphere.resources import rows_within
from insphere.synthetic_anomalies import KINDS, mixed
from insphere.training.device import resolve_device
from insphere.training.discriminator import (
    DiscriminatorSpec,
    train_discriminator,
    untrained_discriminator,
)
from insphere.training.memory import keep_freed_memory
from insphere.training.recipe import Phase

FINEST_STRIDE = 8  # pixels of the finest feature map that is used by default
ROWS = 1 << 14  # patches that the discriminator sees at a time


@parameters
class PatchDiscriminator(PatchDetector):
    """A small network that tells normal patches from damaged ones and from noise.

    The patches are those of a frozen pretrained network, of several stages on the grid of the
    finest. The discriminator learns from two kinds of anomalies. *Damage*: copies of the training
    photographs are damaged in ways and at strengths drawn at random (as in Zavrtanik et al. 2021,
    "DRAEM", and Chen et al. 2024, "GLASS"), and the patches where they are damaged are anomalous,
    all others normal. *Noise*: Gaussian noise is added to the whitened features of normal patches
    (Liu et al. 2023, "SimpleNet", section 3.3), so that what resembles nothing seen is anomalous
    too. The network runs once for each photograph; the heat map is the output, log(1 + odds).

    Parameters
    ----------
    kinds : sequence of str, default="all"
        Kinds of synthetic anomalies; see `insphere.synthetic_anomalies.KINDS`.
    strengths : (float, float), default=(0.15, 1.0)
        Least and greatest strength, above 0 and at most 1.
    copies : int, default=3
        Damaged copies of each photograph.
    sampled : int, default=100
        Patches that are learned from each photograph and copy: damaged and normal ones, at most so
        many each.
    off : float, default=0.5
        Share of noise among the anomalous patches; 1 learns from noise alone.
    noise : (float, float), default=(0.3, 1.5)
        Least and greatest standard deviation of this noise, in those of the whitened features.
    widths : sequence of int, default=(256, 64)
        Widths of the hidden layers.
    epochs, lr, batch_size : optional
        Override 1200 steps at least, 2e-3 (the peak of one cycle) and 2048 patches.
    allow_collapse : bool, default=False
        Do not stop the training if all patches get the same representation.
    checkpoint_dir : path, optional
        Folder for checkpoints of the discriminator after each epoch.
    verbose : bool, default=False
        Show progress in the terminal.
    places, pooling, top_share, stages, neighbourhood, grid, smoothing, scale, region
        See `PatchDetector`. Here `scale` is "auto", `neighbourhood` is 1, `pooling` is "top" with
        a `top_share` of 0.005, and `stages` are those of strides 8 to 32 before the last ones: s3
        to s6 of EfficientNet-Lite. `smoothing` is three distances of two patches.
    backbone, weights, resolution, resampling, mirrored, finetune, device, precision, callbacks
        See `PretrainedNetwork`.
    cache : bool, default=False
        Keep the features of photographs that are scored on disk. They take much space: about 1,000
        numbers for each 16×16 pixels.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    history_ : list of dict
        One record for each epoch: loss, ``accuracy``, and the measures of the guard.
    guard_findings_ : list of str
        Messages of the collapse guard, and a note if the backbone is not pretrained.
    spec_ : DiscriminatorSpec
        All settings of the training, with the defaults filled in.
    network_ : DiscriminatorNet
        The torch module from patches to log-odds.
    form_, scale_, region_, usual_, backbone_, backbone_fingerprint_
        See `PatchDetector` and `PretrainedNetwork`.
    """

    _takes = ()  # one network for all
    card = MethodCard(
        key="patch-discriminator",
        title="Patch discriminator (SimpleNet)",
        summary="a small network tells normal patches from made-up damage and noise",
        family="pretrained",
        takes=("images",),
        needs_pretrained=True,
    )

    _spread = 3.0
    _takes = ()  # it is trained once, on all photographs

    kinds: str | Sequence[str] = "all"
    strengths: tuple[float, float] = (0.15, 1.0)
    copies: int = 3
    sampled: int = 100
    off: float = 0.5
    noise: tuple[float, float] = (0.3, 1.5)
    widths: Sequence[int] = (256, 64)
    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    neighbourhood: int = 1
    scale: float | str | None = "auto"
    pooling: Pooling = "top"
    top_share: float = 0.005
    cache: bool = False
    allow_collapse: bool = False
    checkpoint_dir: str | PathLike[str] | None = None
    verbose: bool = False

    # ------------------------------------------------------------------ OneClassDetector

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        keep_freed_memory()
        self._resolve()  # report a wrong setting before any work
        super()._prepare(X, labels)

    def _learn_from(self, X: Array) -> None:
        spec = self._resolve()
        rows, damaged = self._examples(X, spec)
        network, history, guard = train_discriminator(
            rows, damaged, self._sizes, spec, **how_to_train(self)
        )
        self.spec_, self.network_, self.history_ = spec, network, history
        self.guard_findings_ = self._findings() + guard.summary()
        if self.places != "none":
            self._learn_places(self._in_batches(X, self._patch_scores))

    def _default_stages(self, card: BackboneCard) -> tuple[str, ...]:
        last = (card.default_deep or card.default_patches)[-1]
        names = card.stage_names[: card.stage_names.index(last) + 1]
        fine = [name for name in names if card.stage(name).stride >= FINEST_STRIDE]
        return tuple(fine) or card.default_patches

    def _at_once(self, X: Array) -> int:
        return rows_within(self._bytes_each, CHUNK)

    def _patch_scores(self, F: Features) -> Floats:
        known = ~np.isnan(F[..., 0])
        scores = np.full(known.shape, np.nan)
        device = self.network_.last.weight.device
        rows = torch.from_numpy(F[known])
        with torch.inference_mode():
            parts = [self.network_(part.to(device)) for part in torch.split(rows, ROWS)]
            scores[known] = odds(torch.cat(parts)).cpu() if parts else 0
        return scores

    def _head(self) -> nn.Module:
        return nn.Sequential(self._patch_head(), self._pooling())

    def _patch_head(self) -> nn.Module:
        return DiscriminatorOfPatches(self.network_)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        meta = {
            **self._backbone_meta(),
            **self._form_meta(),
            "spec": self.spec_.model_dump(mode="json"),
            "history": self.history_,
            "guard_findings": self.guard_findings_,
        }
        return arrays_of(self.network_) | self._backbone_arrays() | self._form_arrays(), meta

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        self._restore_form(meta, arrays)
        with matching_weights():
            spec = DiscriminatorSpec.model_validate(meta["spec"])
            network = untrained_discriminator(self._sizes, spec)
            load_arrays(network, of_head(arrays), resolve_device(self.device))
        self.spec_, self.network_ = spec, network.eval()
        self.history_ = list(meta["history"])
        self.guard_findings_ = list(meta["guard_findings"])

    # ------------------------------------------------------------------ inside

    def _examples(self, X: Array, spec: DiscriminatorSpec) -> tuple[Features, NDArray[np.bool_]]:
        """Return patches (M, C) of photographs and their damaged copies, and which are damaged."""
        rng = np.random.default_rng(seed_from(self.random_state))
        followers = list(self.callbacks)
        for follower in followers:
            follower.phase_start("damage", 1, 0, len(X) * (1 + spec.copies))
        rows, labels = [], []
        for part in batches(X, self._at_once(X)):
            others = as_levels(X[np.sort(rng.integers(len(X), size=len(part)))])
            for copy in range(1 + spec.copies):
                images, masks = as_levels(part), np.zeros(part.shape[:3], bool)
                if copy:
                    images, masks = damaged_photos(images, others, spec, rng)
                patches = self._patches(images, cache=False)
                hurt = self._hurt(masks)
                known = ~np.isnan(patches[..., 0])
                for one, inside, outside in zip(patches, hurt & known, ~hurt & known, strict=True):
                    for anomalous, places in ((True, inside), (False, outside)):
                        drawn = rng.permutation(np.flatnonzero(places))[: spec.places]
                        rows.append(one[np.sort(drawn)])
                        labels.append(np.full(len(drawn), anomalous))
                for follower in followers:
                    follower.batch_end("damage", len(part))
        for follower in followers:
            follower.phase_end("damage")
        return np.concatenate(rows), np.concatenate(labels)

    def _hurt(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which patches (N, P) see a damaged pixel, from masks (N, H, W)."""
        found = np.zeros((len(masks), *self.form_.shape), bool)
        sides = [n / count for n, count in zip(masks.shape[1:], self.form_.shape, strict=True)]
        if self.scale_ is not None:
            sides = [(self.form_.stride or 1) / self.scale_] * 2
        offset = self.backbone_.offset
        image, *pixels = np.nonzero(masks)
        places = [
            np.clip(((at + 0.5) / side - offset).astype(int), 0, count - 1)
            for at, side, count in zip(pixels, sides, self.form_.shape, strict=True)
        ]
        found[image, places[0], places[1]] = True
        middles = [  # of patches that are smaller than a pixel
            np.minimum(((np.arange(count) + 0.5 + offset) * side).astype(int), n - 1)
            for n, side, count in zip(masks.shape[1:], sides, self.form_.shape, strict=True)
        ]
        found |= masks[:, middles[0]][:, :, middles[1]]
        return found.reshape(len(masks), -1)

    def _resolve(self) -> DiscriminatorSpec:
        """Return the constructor's arguments as one spec."""
        kinds = tuple(KINDS) if self.kinds == "all" else self.kinds
        given = {"epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size}
        usual = {
            "epochs": 1,
            "lr": 2e-3,
            "batch_size": 2048,
            "schedule": "one-cycle",
            "weight_decay": 1e-5,
            "min_steps": 1200 if self.epochs is None else 0,
        }
        with settings():
            return DiscriminatorSpec(
                kinds=(kinds,) if isinstance(kinds, str) else tuple(kinds),
                strengths=self.strengths,
                copies=self.copies,
                places=self.sampled,
                off=self.off,
                noise=self.noise,
                widths=tuple(self.widths),
                phase=Phase.model_validate(
                    usual | {name: value for name, value in given.items() if value is not None}
                ),
                allow_collapse=self.allow_collapse,
            )


def odds(logits: Tensor) -> Tensor:
    """Return log(1 + odds), which is never negative and keeps the order of log-odds."""
    return F.softplus(logits.double())


def as_levels(images: Array) -> NDArray[np.uint8]:
    """Return images as grey levels: uint8 as they are, floats from 0 to 1 rounded."""
    if images.dtype != np.uint8:
        images = np.rint(np.clip(images, 0, 1) * 255)
    levels: NDArray[np.uint8] = images.astype(np.uint8, copy=False)
    return levels


def damaged_photos(
    images: NDArray[np.uint8],
    others: NDArray[np.uint8],
    spec: DiscriminatorSpec,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Damage each photograph, without what pads it on its canvas, and mirror it at random.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, C)
        Normal photographs.
    others : ndarray of uint8, shape (M, H, W, C)
        Photographs for foreign textures.
    spec : DiscriminatorSpec
        Kinds and strengths.
    rng : numpy.random.Generator
        All randomness.

    Returns
    -------
    images, masks : ndarrays of uint8 (N, H, W, C) and bool (N, H, W)
        Where they differ from the originals; nowhere in what pads them.
    """
    changed, masks = np.empty_like(images), np.zeros(images.shape[:3], bool)
    for position, image in enumerate(images):
        height, width = content_size(image)
        other = others[int(rng.integers(len(others)))]
        down, across = content_size(other)
        own = image[:height, :width]
        for axis in (0, 1):
            if rng.random() < 0.5:
                own = np.flip(own, axis)
        made = mixed(
            own[None],
            spec.kinds,
            strengths=spec.strengths,
            seed=int(rng.integers(2**31)),
            textures=other[None, :down, :across],
        )
        changed[position] = on_canvas(made.images[0], image.shape[:2])
        masks[position, :height, :width] = made.masks[0]
    return changed, masks
