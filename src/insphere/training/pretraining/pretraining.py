"""The base of all kinds of pretraining, and the function that runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from insphere.errors import SpecError
from insphere.nets.view_encoder import ViewEncoder
from insphere.training.callbacks import Callback, Record
from insphere.training.device import Precision
from insphere.training.gradients import with_gradients
from insphere.training.images import Samples
from insphere.training.loop import PhaseRun
from insphere.training.objectives import Objective
from insphere.training.start import StageSpec, Start, prepare
from insphere.training.training_set import TrainingSet


class Pretraining(BaseModel, ABC):
    """Settings of a pretext task; each kind has its own class, with its name as ``kind``.

    A kind defines the objective and, if needed, other samples, such as views of the images. Epochs
    and learning rate are those of the stage. Loop, checkpoints and progress are the same for all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    changes_images: ClassVar[bool] = False
    """Whether its samples look unlike the images, whose statistics batch norm then needs."""

    @abstractmethod
    def objective(self, start: Start, stage: StageSpec, seed: int) -> Objective:
        """Return the objective; it trains ``start.encoder`` in place.

        Parameters
        ----------
        start : Start
            The network and its samples.
        stage : StageSpec
            Settings of the training.
        seed : int
            Seed of the initial weights of further networks besides the encoder.
        """

    def samples(self, start: Start) -> Samples:
        """Return the samples of the loop: the training samples, or views of them."""
        return start.images

    def for_samples(self, X: NDArray[Any]) -> Self:
        """Return settings in which nothing is left to be decided by the raw samples."""
        return self

    def view_encoder(
        self, encoder: nn.Module, rep_dim: int, shape: tuple[int, ...], seed: int
    ) -> ViewEncoder:
        """Return an encoder of several views around the encoder of one, for heads that ask for it.

        Raises
        ------
        SpecError
            If this kind of pretraining tells no views apart.
        """
        raise SpecError("This head looks at views of an image: take pretraining=rotation with it.")

    def remarks(self, pretrained: Pretrained) -> list[str]:
        """Return sentences on what was found on normal samples, such as a task that is trivial."""
        return []

    def identity(self, stage: StageSpec) -> dict[str, Any]:
        """Return all settings that determine the result, without data and seed, as JSON values."""
        return {"pretraining": self.model_dump(mode="json"), **stage.model_dump(mode="json")}


@dataclass
class Pretrained(Start):
    """A network and its samples after pretraining; with no epochs, at the start.

    Parameters
    ----------
    objective : Objective or None
        The objective with all its networks; None if there were no epochs.
    history : list of dict
        A record for each epoch.
    """

    objective: Objective | None = None
    history: list[Record] = field(default_factory=list)

    @property
    def viewed(self) -> ViewEncoder | None:
        """The encoder of several views that was trained, if the pretraining has one."""
        found = getattr(self.objective, "viewed", None)
        return found if isinstance(found, ViewEncoder) else None


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
    """Pretrain an encoder on normal samples, or load it from a checkpoint.

    Parameters
    ----------
    samples : ndarray, shape (N, H, W, C) or (N, F), or TrainingSet
        Normal training samples: uint8 or float images, or a float table; optionally with labels,
        groups and weights.
    stage : StageSpec
        Network, preprocessing and schedule.
    form : Pretraining
        The pretext.
    seed : int
        Seed of the initial weights, the order of the images and all other randomness.
    device : torch.device
        Device of the training.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network. Tables are trained in float64 on the CPU.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints. The same pretraining of the same samples is loaded from it.
    callbacks : sequence of Callback
        Objects that follow the training; see `insphere.training.callbacks`.
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
