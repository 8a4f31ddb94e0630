"""Fine-tuning the last stages of a backbone on normal images, with a stop before a collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn

from insphere.nets.backbones.network import Tail
from insphere.nets.backbones.weights import weights_fingerprint
from insphere.nets.depthwise import fixed_depthwise
from insphere.training.callbacks import Callback, Record
from insphere.training.checkpoint import CheckpointNames
from insphere.training.contrastive import MeanShifted, ViewRows
from insphere.training.device import Precision, has_fast_bfloat16
from insphere.training.gradients import with_gradients
from insphere.training.known_classes import Background, KnownClasses
from insphere.training.loop import PhaseRun
from insphere.training.objectives import Objective
from insphere.training.panda import CompactnessLoss, MapRows, normalised
from insphere.training.recipe import Phase

WATCHED = 1024  # training images whose features are checked for collapse
FEWEST_STEPS = 100  # of a classifier
BY_CLASSES = {"stages": 6, "epochs": 1, "lr": 2e-4}  # other defaults: it is far from a collapse


class FinetuneSpec(BaseModel):
    """Settings of the fine-tuning of the last stages.

    Parameters
    ----------
    objective : {"compact", "contrastive", "classes"}
        Reduce the distances of features (see `insphere.training.panda.CompactnessLoss`), separate
        images around their mean (see `insphere.training.contrastive.MeanShifted`), or tell the
        classes of the normal images apart (see `insphere.training.known_classes.KnownClasses`).
    stages : int
        Number of last stages that are trained; 6 by default for "classes".
    epochs : int
        Largest number of epochs; 1 by default for "classes", more if these are fewer than 100
        steps.
    lr : float
        Learning rate. At ten times the default, one epoch over a few thousand images reduces the
        variance below `keep_spread`, without a gain. For "classes" the default is 2e-4, the peak
        of a one-cycle schedule.
    batch_size : int
        Images in a step.
    keep_spread : float
        Training ends with the last epoch after which the variance of the features is at least this
        share of that at the start. Not used by "classes".
    views : int
        "contrastive": number of random views of each training image; each step uses two.
    temperature : float
        "contrastive": τ.
    background : bool
        "classes": tell the classes also from those of the pretraining, if the layer that named
        these is known; see `insphere.training.known_classes.Background`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["compact", "contrastive", "classes"] = "compact"
    stages: PositiveInt = 2
    epochs: PositiveInt = 10
    lr: float = Field(default=1e-5, gt=0)
    batch_size: PositiveInt = 64
    keep_spread: float = Field(default=0.5, gt=0, lt=1)
    views: int = Field(default=4, ge=2)
    temperature: float = Field(default=0.25, gt=0)
    background: bool = True

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("objective") == "classes":
            return BY_CLASSES | dict(given)
        return given

    @property
    def phase(self) -> Phase:
        """The schedule for the loop."""
        if self.objective == "classes":
            return Phase(
                epochs=self.epochs, lr=self.lr, schedule="one-cycle", batch_size=self.batch_size,
                weight_decay=0.0, min_steps=FEWEST_STEPS,
            )  # fmt: skip
        return Phase(
            epochs=self.epochs, lr=self.lr, schedule="constant", batch_size=self.batch_size,
            weight_decay=0.0,
        )  # fmt: skip


@dataclass
class Finetuned:
    """The trained stages, a record for each epoch, and the messages of the guard."""

    tail: Tail
    history: list[Record]
    findings: list[str]


@with_gradients
def finetune(
    maps: NDArray[np.floating[Any]],
    tail: Tail,
    spec: FinetuneSpec,
    *,
    views: NDArray[np.floating[Any]] | None = None,
    mirrored: NDArray[np.floating[Any]] | None = None,
    labels: NDArray[np.int64] | None = None,
    before: nn.Linear | None = None,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Finetuned:
    """Train the last stages on the input maps of normal images.

    Depthwise kernels are not trained: on CPUs their gradient takes longer than all the rest.

    Parameters
    ----------
    maps : ndarray of float16 or float32, shape (N, H, W, C)
        From the frozen part.
    tail : Tail
        Float32; trained in place.
    spec : FinetuneSpec
        Settings of the fine-tuning.
    views : ndarray of float16, shape (N, V, H, W, C), optional
        From random views of the same images; needed by the contrastive objective.
    mirrored : ndarray of float16 or float32, shape (N, H, W, C), optional
        From the mirror images, which are drawn half of the time; for the objective "classes".
    labels : ndarray of int64, shape (N,), optional
        The class of each image, counted from 0; needed by the objective "classes".
    before : torch.nn.Linear, optional
        "classes": the layer that named the classes of the pretraining, from the mean of the last
        map; they are the background from which the known classes are told.
    seed : int
        Seed of the order of the images.
    device, precision, checkpoints, callbacks
        As in `insphere.training.deep_svdd.train_sphere`.
    """
    tail = tail.to(device).to(memory_format=torch.channels_last)
    half = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device))
    autocast = torch.bfloat16 if half else None
    rows = MapRows(maps, device, labels, mirrored)
    few = MapRows(maps[np.linspace(0, len(maps) - 1, min(len(maps), WATCHED)).astype(int)], device)

    def look(at: MapRows = few) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, autocast, enabled=half):
            return torch.cat([normalised(tail(b.x)) for b in at.batches(spec.batch_size, None)])

    parts = spec.model_dump(mode="json") | {"weights": weights_fingerprint(tail)}
    if labels is not None:
        parts["labels"] = labels.tolist()
    if mirrored is not None:
        parts["mirrored"] = True
    with fixed_depthwise(tail, device):
        objective: Objective
        if spec.objective == "classes":
            assert labels is not None
            count = int(labels.max()) + 1
            background = None
            if before is not None and spec.background:
                background = Background(before, count)
                with torch.no_grad(), torch.autocast(device.type, autocast, enabled=half):
                    background.measure(tail, rows.batches(spec.batch_size, None))
            channels = look().shape[1]
            objective = KnownClasses(tail, channels, count, background).to(device)
        elif spec.objective == "contrastive":
            assert views is not None
            objective = MeanShifted(
                tail, look(rows).mean(dim=0), look, spec.keep_spread, temperature=spec.temperature
            )
        else:
            objective = CompactnessLoss(tail, look(rows).mean(dim=0), look, spec.keep_spread)
        names = CheckpointNames(checkpoints, maps, seed, autocast)
        history = PhaseRun(
            "finetune", objective, rows if views is None else ViewRows(views, device), spec.phase,
            seed=seed, autocast=autocast, checkpoint=names.path("finetune", parts),
            callbacks=callbacks,
        ).run()  # fmt: skip
    findings = getattr(objective, "findings", [])
    return Finetuned(tail.eval().requires_grad_(False), history, findings)
