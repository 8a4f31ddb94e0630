"""What a detector's parameters say about how its network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch

from insphere.detectors.base.network_state import seed_from
from insphere.training.callbacks import Callback
from insphere.training.device import Precision, resolve_device
from insphere.training.progress_bar import ProgressBar


class Trainable(Protocol):
    """A detector with these parameters; see `insphere.detectors.DeepSVDD`."""

    random_state: Any
    device: str
    precision: Precision
    checkpoint_dir: str | PathLike[str] | None
    callbacks: Sequence[Callback]
    verbose: bool


class HowToTrain(TypedDict):
    """The keywords that all functions of `insphere.training` take beside samples and spec."""

    seed: int
    device: torch.device
    precision: Precision
    checkpoints: Path | None
    callbacks: Sequence[Callback]


def how_to_train(detector: Trainable) -> HowToTrain:
    """Return the keywords of a training from the parameters of a detector."""
    progress = [ProgressBar()] if detector.verbose else []
    return {
        "seed": seed_from(detector.random_state),
        "device": resolve_device(detector.device),
        "precision": detector.precision,
        "checkpoints": None if detector.checkpoint_dir is None else Path(detector.checkpoint_dir),
        "callbacks": [*detector.callbacks, *progress],
    }
