"""A pretrained network and its settings: loading it, extracting features, fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from insphere.detectors.base.network_state import (
    arrays_of,
    load_arrays,
    matching_weights,
    seed_from,
    settings,
)
from insphere.detectors.base.parameters import parameters
from insphere.errors import DataError, ModelError, SpecError
from insphere.features import Extractor, Form, features
from insphere.features.adapted import adapted_features, map_form, mirror_images
from insphere.features.extract import Features, Resampling
from insphere.features.views import random_views
from insphere.modalities.table import kind_of
from insphere.nets.backbones import (
    DEFAULT,
    Backbone,
    BackboneCard,
    StagedBackbone,
    backbone_cards,
    load_backbone,
)
from insphere.nets.backbones.network import Tail
from insphere.training.callbacks import Callback
from insphere.training.device import Precision, resolve_device
from insphere.training.finetune import FinetuneSpec, finetune

Array = NDArray[Any]
TAIL = "backbone."  # prefix of the array names of a fine-tuned backbone
CHUNK = 512  # images whose features are in memory at a time while scoring


@parameters
class PretrainedNetwork(BaseEstimator):  # type: ignore[misc]
    """The parameters of a pretrained network; see the concrete classes.

    Parameters
    ----------
    backbone : str, default="efficientnet-lite0"
        Network, or several with "+" between them, as "efficientnet-lite0+efficientnet-lite2", whose
        features are joined; see `insphere.nets.backbones.load_backbone`.
    weights : str, path or None, default=None
        File of its weights; None takes the pretrained ones, "random" none.
    stages : sequence of str or None, default=None
        Stages whose feature maps are used; None is the default of the concrete class.
    resolution : int or None, default=None
        Side in pixels to which images are resized; None is that of the backbone.
    resampling : {"bilinear", "bicubic"}, default="bicubic"
        Interpolation of this resizing.
    mirrored : bool, default=False
        Average the features of each image and of its mirror image. With ``finetune`` it takes the
        objective "classes", which then learns from the mirror images as well.
    finetune : int, FinetuneSpec, dict or None, default=None
        First fine-tune this number of the last stages on the normal training images, and use their
        features. For more settings see `insphere.training.finetune.FinetuneSpec`.
    cache : bool, default=True
        Keep features on disk; see `insphere.features.store`.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number format of the network.
    callbacks : sequence of Callback, default=()
        Objects that follow the extraction; see `insphere.training.callbacks`.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only.

    Attributes
    ----------
    backbone_ : BackboneCard
        Description of the network; its weights are "random" if it was not trained.
    backbone_fingerprint_ : str
        SHA-256 over its weights, before any fine-tuning.
    finetune_history_ : list of dict
        One record for each epoch of fine-tuning; ``spread`` is the variance of the features,
        relative to the start.
    """

    # Depend on one machine or one run: a saved model has their defaults instead.
    _not_saved: ClassVar[tuple[str, ...]] = (
        *("callbacks", "checkpoint_dir", "device", "cache", "verbose"),
    )

    backbone: str = DEFAULT
    weights: str | PathLike[str] | None = None
    stages: Sequence[str] | None = None
    resolution: int | None = None
    resampling: Resampling = "bicubic"
    mirrored: bool = False
    finetune: int | Mapping[str, Any] | FinetuneSpec | None = None
    cache: bool = True
    device: str = "auto"
    precision: Precision = "auto"
    callbacks: Sequence[Callback] = ()
    random_state: Any = None

    def _open(self) -> None:
        """Load the network and its description."""
        self._load(
            lambda network: Extractor(
                network,
                resolution=self.resolution,
                resampling=self.resampling,
                mirrored=self.mirrored and self.finetune is None,
                precision=self.precision,
                device=resolve_device(self.device),
            )
        )

    def _load(self, extractor: Callable[[Backbone], Extractor]) -> None:
        network = load_backbone(self.backbone, self.weights)
        self._extractor = extractor(network)
        self.backbone_: BackboneCard = network.card
        self.backbone_fingerprint_: str = network.fingerprint
        self._tail: Tail | None = None
        self._one_radius = False
        self._tuned: list[str] = []
        self.finetune_history_: list[dict[str, Any]] = []

    def _finetune_spec(self) -> FinetuneSpec | None:
        """Return the settings of fine-tuning, after checking them."""
        if self.finetune is None or isinstance(self.finetune, FinetuneSpec):
            spec = self.finetune
        else:
            given = self.finetune
            fields = given if isinstance(given, Mapping) else {"stages": given}
            with settings():
                spec = FinetuneSpec.model_validate(fields)
        if spec is None:
            return None
        network = self._extractor.backbone
        if not isinstance(network, StagedBackbone) or spec.stages >= len(self.backbone_.stages):
            staged = ", ".join(card.name for card in backbone_cards())
            raise SpecError(
                f"finetune trains some of the last stages of a backbone that can be cut "
                f"({staged}), but {self.backbone_.name} cannot be, or has only "
                f"{len(self.backbone_.stages)}."
            )
        if self.mirrored and spec.objective != "classes":
            raise SpecError(
                'With finetune, mirrored takes its objective "classes"; leave one of them out.'
            )
        return spec

    def _adapt(self, X: Array, labels: NDArray[np.int64] | None = None) -> None:
        """Fine-tune the last stages on normal training images, if `finetune` is given."""
        spec = self._finetune_spec()
        if spec is None:
            return
        by_classes = spec.objective == "classes"
        if by_classes and labels is None:
            raise SpecError(
                'The objective "classes" of finetune tells normal classes apart: give fit the '
                "class of each image, or --by-class on the command line, or take another objective."
            )
        form = map_form(self._extractor, spec.stages)
        maps = self._extract(X, form, fitting=True)
        mirrored = self._extract(mirror_images(X), form) if self.mirrored else None
        seed, views = seed_from(self.random_state), None
        if spec.objective == "contrastive":
            views = np.empty((len(maps), spec.views, *maps.shape[1:]), np.float16)
            for i in range(spec.views):
                altered = random_views(X, seed * spec.views + i)
                views[:, i] = features(self._extractor, altered, [form], cache=False)[0]
        directory = getattr(self, "checkpoint_dir", None)
        tuned = finetune(
            maps,
            self._new_tail(spec.stages),
            spec,
            views=views,
            mirrored=mirrored,
            labels=labels if by_classes else None,
            before=self._extractor.backbone.classifier if by_classes else None,
            seed=seed,
            device=self._extractor.device,
            precision=self.precision,
            checkpoints=None if directory is None else Path(directory),
            callbacks=self.callbacks,
        )
        self._use_tail(tuned.tail)
        self._one_radius = by_classes
        self._tuned, self.finetune_history_ = tuned.findings, tuned.history

    def _new_tail(self, stages: int) -> Tail:
        network = self._extractor.backbone
        assert isinstance(network, StagedBackbone)
        return network.tail(stages)

    def _use_tail(self, tail: Tail) -> None:
        self._weights = arrays_of(tail)  # as trained, for saving
        tail = tail.to(self._extractor.device, self._extractor.dtype)
        tail = tail.to(memory_format=torch.channels_last).eval()
        self._tail = self._extractor.for_scoring(tail)

    @property
    def rounds_features(self) -> bool:
        """Whether features are rounded to float16 in any case, as earlier versions did."""
        return self._extractor.rounded

    @property
    def _stages_in_use(self) -> tuple[str, ...]:
        """Stages with features: all, or those that were fine-tuned."""
        return self.backbone_.stage_names if self._tail is None else tuple(self._tail.steps)

    def _check_in_use(self, stages: Sequence[str]) -> None:
        lost = [name for name in stages if name not in self._stages_in_use]
        if lost:
            raise SpecError(
                f"With finetune, features come from the stages that it trains "
                f"({', '.join(self._stages_in_use)}), but stages names {', '.join(lost)}."
            )

    def _extract(
        self, X: Array, form: Form, *, fitting: bool = False, cache: bool = True
    ) -> Features:
        """Return the features of all images in X; kept on disk if this and the detector want it."""
        kept = cache and self.cache
        followers = list(self.callbacks) if fitting else []
        for follower in followers:
            follower.phase_start("features", 1, 0, len(X))

        def report(images: int) -> None:
            for follower in followers:
                follower.batch_end("features", images)

        try:
            if self._tail is not None and form.kind != "map":
                return adapted_features(
                    self._extractor, self._tail, X, form,
                    mirrored=self.mirrored, cache=kept, progress=report,
                )  # fmt: skip
            return features(self._extractor, X, [form], cache=kept, progress=report)[0]
        finally:
            for follower in followers:
                follower.phase_end("features")

    def _findings(self) -> list[str]:
        """Return sentences: whether the network is untrained, and how fine-tuning ended."""
        if self.backbone_.pretrained:
            return list(self._tuned)
        return [
            *self._tuned,
            f"The backbone {self.backbone_.name} has {self.backbone_.weights} weights: a control, "
            "not a result.",
        ]

    def _backbone_meta(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone_.name,
            "weights": self.backbone_.weights,
            "fingerprint": self.backbone_fingerprint_,
            "finetuned": 0 if self._tail is None else len(self._tail.steps),
            "finetune_history": self.finetune_history_,
            "one_radius": self._one_radius,
            "rounded": self._extractor.rounded,
        }

    def _backbone_arrays(self) -> dict[str, Array]:
        if self._tail is None:
            return {}
        return {f"{TAIL}{name}": value for name, value in self._weights.items()}

    def _restore_backbone(self, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Load the network again, and check that its weights are those of the training.

        Raises
        ------
        ModelError
            If they differ.
        """
        self._open()
        self._extractor.rounded = bool(meta.get("rounded", True))  # as earlier versions did
        if self.backbone_fingerprint_ != meta["fingerprint"]:
            raise ModelError(
                f"The model was made with other weights of {self.backbone_.name} than those found "
                f"here ({meta['weights']}; fingerprint {str(meta['fingerprint'])[:12]}, here "
                f"{self.backbone_fingerprint_[:12]}); its scores would mean nothing. Get the same "
                "weights."
            )
        if meta["finetuned"]:
            own = {k.removeprefix(TAIL): v for k, v in arrays.items() if k.startswith(TAIL)}
            with matching_weights():
                tail = self._new_tail(int(meta["finetuned"]))
                load_arrays(tail, own, self._extractor.device)
            self._use_tail(tail)
            self._one_radius = bool(meta.get("one_radius", False))
            self.finetune_history_ = list(meta["finetune_history"])


def without_backbone(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays that do not belong to a fine-tuned backbone."""
    return {name: value for name, value in arrays.items() if not name.startswith(TAIL)}


def require_images(X: Array, who: object) -> None:
    """Raise DataError unless `who` is fitted to images."""
    if not (kind := kind_of(X)).has_maps:
        raise DataError(
            f"{type(who).__name__} takes images, but got {kind.noun}; use another detector, such "
            "as DeepSVDD, for tables."
        )
