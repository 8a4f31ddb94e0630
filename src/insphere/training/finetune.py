"""Fine-tuning the last stages of a backbone on normal images, with a stop before a collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from insphere.nets.backbones.network import Tail
from insphere.nets.backbones.weights import weights_fingerprint
from insphere.training.callbacks import Callback, Record
from insphere.training.checkpoint import CheckpointNames
from insphere.training.contrastive import MeanShifted, ViewRows
from insphere.training.device import Precision, has_fast_bfloat16
from insphere.training.gradients import with_gradients
from insphere.training.loop import PhaseRun
from insphere.training.panda import CompactnessLoss, MapRows, normalised
from insphere.training.recipe import Phase

WATCHED = 1024  # training images whose features are checked for collapse


class FinetuneSpec(BaseModel):
    """Settings of the fine-tuning of the last stages.

    Parameters
    ----------
    objective : {"compact", "contrastive"}
        Reduce the distances of features (see `insphere.training.panda.CompactnessLoss`), or
        separate images around their mean (see `insphere.training.contrastive.MeanShifted`).
    stages : int
        Number of last stages that are trained.
    epochs : int
        Largest number of epochs.
    lr : float
        Learning rate. At ten times the default, one epoch over a few thousand images reduces the
        variance below `keep_spread`, without a gain.
    batch_size : int
        Images in a step.
    keep_spread : float
        Training ends with the last epoch after which the variance of the features is at least this
        share of that at the start.
    views : int
        "contrastive": number of random views of each training image; each step uses two.
    temperature : float
        "contrastive": τ.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Literal["compact", "contrastive"] = "compact"
    stages: PositiveInt = 2
    epochs: PositiveInt = 10
    lr: float = Field(default=1e-5, gt=0)
    batch_size: PositiveInt = 64
    keep_spread: float = Field(default=0.5, gt=0, lt=1)
    views: int = Field(default=4, ge=2)
    temperature: float = Field(default=0.25, gt=0)

    @property
    def phase(self) -> Phase:
        """The schedule for the loop."""
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
    maps: NDArray[np.float16],
    tail: Tail,
    spec: FinetuneSpec,
    *,
    views: NDArray[np.float16] | None = None,
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
    maps : ndarray of float16, shape (N, H, W, C)
        From the frozen part.
    tail : Tail
        Float32; trained in place.
    spec : FinetuneSpec
        Settings of the fine-tuning.
    views : ndarray of float16, shape (N, V, H, W, C), optional
        From random views of the same images; needed by the contrastive objective.
    seed : int
        Seed of the order of the images.
    device, precision, checkpoints, callbacks
        As in `insphere.training.deep_svdd.train_sphere`.
    """
    tail = tail.to(device).to(memory_format=torch.channels_last).requires_grad_(True)
    for module in tail.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.requires_grad_(False)
    half = precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device))
    autocast = torch.bfloat16 if half else None
    rows = MapRows(maps, device)
    few = MapRows(maps[np.linspace(0, len(maps) - 1, min(len(maps), WATCHED)).astype(int)], device)

    def look(at: MapRows = few) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, autocast, enabled=half):
            return torch.cat([normalised(tail(b.x)) for b in at.batches(spec.batch_size, None)])

    center = look(rows).mean(dim=0)
    if spec.objective == "contrastive":
        assert views is not None
        objective: CompactnessLoss = MeanShifted(
            tail, center, look, spec.keep_spread, temperature=spec.temperature
        )
    else:
        objective = CompactnessLoss(tail, center, look, spec.keep_spread)
    parts = spec.model_dump(mode="json") | {"weights": weights_fingerprint(tail)}
    names = CheckpointNames(checkpoints, maps, seed, autocast)
    history = PhaseRun(
        "finetune", objective, rows if views is None else ViewRows(views, device), spec.phase,
        seed=seed, autocast=autocast, checkpoint=names.path("finetune", parts),
        callbacks=callbacks,
    ).run()  # fmt: skip
    return Finetuned(tail.eval().requires_grad_(False), history, objective.findings)
