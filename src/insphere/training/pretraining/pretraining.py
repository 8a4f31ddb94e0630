"""What every form of pretraining is, and the stage that runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from insphere.training.callbacks import Callback, Record
from insphere.training.device import Precision
from insphere.training.gradients import with_gradients
from insphere.training.images import Samples
from insphere.training.loop import PhaseRun
from insphere.training.objectives import Objective
from insphere.training.start import StageSpec, Start, prepare
from insphere.training.training_set import TrainingSet


class Pretraining(BaseModel, ABC):
    """Settings of a pretext task; each form has a class of its own with its name as ``kind``.

    A form says what is minimised and, if that is not the samples as they are, over what. Epochs
    and learning rate are those of the stage; loop, checkpoints and progress are the same for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def objective(self, start: Start, stage: StageSpec, seed: int) -> Objective:
        """Return what is minimised; it trains ``start.encoder`` in place.

        Parameters
        ----------
        start : Start
            The network and its samples.
        stage : StageSpec
            How it is trained.
        seed : int
            Decides the initial weights of what the pretext needs beside the encoder.
        """

    def samples(self, start: Start) -> Samples:
        """Return what the loop takes batches from: the training samples, or views of them."""
        return start.images

    def identity(self, stage: StageSpec) -> dict[str, Any]:
        """Return everything but data and seed that decides the result, as JSON values."""
        return {"pretraining": self.model_dump(mode="json"), **stage.model_dump(mode="json")}


@dataclass
class Pretrained(Start):
    """A network and its samples, after pretraining or, with no epochs of it, at the start.

    Parameters
    ----------
    objective : Objective or None
        What was minimised, with all its networks; None if there were no epochs.
    history : list of dict
        A record for each epoch.
    """

    objective: Objective | None = None
    history: list[Record] = field(default_factory=list)


@with_gradients
def pretrain(
    samples: NDArray[Any] | TrainingSet,
    stage: StageSpec,
    form: Pretraining,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Pretrained:
    """Pretrain an encoder on normals, or find it among the checkpoints.

    Parameters
    ----------
    samples : ndarray, shape (N, H, W, C) or (N, F), or TrainingSet
        Training normals: uint8 or float images, or a float table; perhaps with labels, groups and
        weights.
    stage : StageSpec
        Network, preprocessing and schedule.
    form : Pretraining
        The pretext.
    seed : int
        Decides initial weights, order of the images and everything else that is random.
    device : torch.device
        Where to train.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network. Tables are trained in float64 on the CPU.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints. Whoever asks for the same pretraining of the same samples again gets
        it from there.
    callbacks : sequence of Callback
        Followers of the progress.
    """
    start = prepare(
        samples, stage, seed=seed, device=device, precision=precision, checkpoints=checkpoints
    )
    pretrained = Pretrained(**vars(start))
    if stage.phase.epochs:
        pretrained.objective = form.objective(start, stage, seed)
        pretrained.history = PhaseRun(
            "pretrain", pretrained.objective, form.samples(start), stage.phase, seed=seed,
            autocast=start.autocast, callbacks=callbacks,
            checkpoint=start.names.path("pretrain", form.identity(stage), labels=False),
        ).run()  # fmt: skip
    return pretrained
