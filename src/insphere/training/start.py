"""The start of a training: prepared data, a network with initial weights, checkpoint names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from insphere.modalities.table import kind_of
from insphere.nets.build import build_encoder
from insphere.nets.draws import initial_weights
from insphere.nets.spec import EncoderSpec
from insphere.preprocess.pipeline import Preprocessor, StepSpec
from insphere.training.checkpoint import CheckpointNames
from insphere.training.device import Precision, autocast_dtype
from insphere.training.images import TrainingImages
from insphere.training.loop import mixed_seed
from insphere.training.recipe import Phase
from insphere.training.training_set import TrainingSet, as_training_set


class StageSpec(BaseModel):
    """All settings that determine the pretraining of an encoder, apart from pretext, data and seed.

    Parameters
    ----------
    encoder : EncoderSpec
        The network.
    preprocess : tuple of StepSpec
        Steps fitted on the normal training samples.
    phase : Phase
        Epochs and learning rate.
    allow_collapse : bool
        Build an encoder with which Deep SVDD can collapse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSpec
    preprocess: tuple[StepSpec, ...]
    phase: Phase
    allow_collapse: bool = False


@dataclass
class Start:
    """A network with its initial weights, and its samples.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the normal training samples.
    images : TrainingImages
        The training samples, preprocessed.
    encoder : torch.nn.Module
        φ(x; W).
    autocast : torch.dtype or None
        Number format of the network while training.
    names : CheckpointNames
        Names of the checkpoints of the next phases.
    device : torch.device
        Device of the network.
    dtype : torch.dtype
        Number format of its weights.
    """

    preprocessor: Preprocessor
    images: TrainingImages
    encoder: nn.Module
    autocast: torch.dtype | None
    names: CheckpointNames
    device: torch.device
    dtype: torch.dtype


def prepare(
    samples: NDArray[Any] | TrainingSet,
    stage: StageSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
) -> Start:
    """Fit the preprocessing, build the encoder and prepare the samples.

    Parameters
    ----------
    samples, stage, seed, device, precision, checkpoints
        As in `insphere.training.pretraining.pretraining.pretrain`.
    """
    train = as_training_set(samples)
    shape, dtype = sample_shape(train.data), sample_dtype(train.data, device)
    preprocessor = Preprocessor(stage.preprocess, shape).to(device, dtype).fit(train.normals.data)
    images = TrainingImages(train, preprocessor, device)
    encoder = new_encoder(stage.encoder, shape, seed, device, dtype, stage.allow_collapse)
    autocast = autocast_dtype(precision, encoder)
    names = CheckpointNames(checkpoints, train, seed, autocast)
    return Start(preprocessor, images, encoder, autocast, names, device, dtype)


def new_encoder(
    spec: EncoderSpec,
    shape: tuple[int, ...],
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    allow_collapse: bool = False,
) -> nn.Module:
    """Build an encoder with the initial weights of this seed."""
    with initial_weights(mixed_seed(seed)):
        encoder = build_encoder(spec, shape, allow_collapse=allow_collapse)
    return place(encoder, device, dtype)


def sample_shape(X: NDArray[Any]) -> tuple[int, ...]:
    """Shape of one sample as networks see it: (C, H, W) or (F,)."""
    return kind_of(X).of(X).sample_shape


def sample_dtype(X: NDArray[Any], device: torch.device) -> torch.dtype:
    """Return the number format of weights: float64 for tables if the device has it."""
    return torch.float64 if X.dtype == np.float64 and device.type != "mps" else torch.float32


def place(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Move a network to its device, in the best memory layout for convolutions."""
    has_convolutions = any(isinstance(m, nn.Conv2d) for m in network.modules())
    layout = torch.channels_last if has_convolutions else torch.preserve_format
    return network.to(device, dtype).to(memory_format=layout)
