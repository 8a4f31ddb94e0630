"""Pretraining of an autoencoder: by itself a detector, and where Deep SVDD starts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from insphere.fingerprint import array_fingerprint
from insphere.nets.build import build_decoder, build_encoder
from insphere.nets.spec import EncoderSpec
from insphere.preprocess.pipeline import Preprocessor, StepSpec
from insphere.training.callbacks import Callback, Record
from insphere.training.device import Precision, autocast_dtype
from insphere.training.images import TrainingImages
from insphere.training.loop import PhaseRun, seeded
from insphere.training.objectives import Reconstruction
from insphere.training.recipe import Phase


class AutoencoderSpec(BaseModel):
    """Everything that decides how an autoencoder is trained, apart from the data and the seed.

    Parameters
    ----------
    encoder : EncoderSpec
        The network; the decoder mirrors it.
    preprocess : tuple of StepSpec
        Steps fitted on the training normals.
    phase : Phase
        Epochs and learning rate.
    allow_collapse : bool
        Build an encoder that Deep SVDD could not start from without collapsing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSpec
    preprocess: tuple[StepSpec, ...]
    phase: Phase
    allow_collapse: bool = False


class CheckpointNames:
    """Names a phase's checkpoint by a hash of everything that the phase depends on.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where checkpoints lie; without it no phase has one.
    X : ndarray
        Raw training normals.
    seed : int
        Seed of the training.
    autocast : torch.dtype, optional
        Number format of the network.
    """

    def __init__(
        self, folder: Path | None, X: NDArray[Any], seed: int, autocast: torch.dtype | None
    ) -> None:
        self.folder = folder
        if folder is not None:
            self.common = {
                "data": array_fingerprint(X),
                "seed": seed,
                "autocast": str(autocast),
                "torch": torch.__version__,
            }

    def path(self, phase: str, parts: dict[str, Any]) -> Path | None:
        """Return the file of a phase that depends on `parts` (JSON values); None without folder."""
        if self.folder is None:
            return None
        text = json.dumps(self.common | {"parts": parts}, sort_keys=True)
        return self.folder / f"{phase}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"


@dataclass
class Pretrained:
    """A network and its images, after pretraining or, with no epochs of it, at the start.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the training normals.
    images : TrainingImages
        The training normals, preprocessed.
    encoder : torch.nn.Module
        φ(x; W).
    decoder : torch.nn.Module or None
        Its mirror; None if there were no epochs.
    autocast : torch.dtype or None
        Number format of the network while training.
    names : CheckpointNames
        For the phases that follow.
    history : list of dict
        A record for each epoch.
    """

    preprocessor: Preprocessor
    images: TrainingImages
    encoder: nn.Module
    decoder: nn.Module | None
    autocast: torch.dtype | None
    names: CheckpointNames
    history: list[Record] = field(default_factory=list)


def pretrain_autoencoder(
    X: NDArray[Any],
    spec: AutoencoderSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> Pretrained:
    """Train an autoencoder on normals, or find it among the checkpoints.

    Parameters
    ----------
    X : ndarray, shape (N, H, W, C) or (N, F)
        Training normals: uint8 or float images, or a float table.
    spec : AutoencoderSpec
        How to train.
    seed : int
        Decides initial weights, order of the images and everything else that is random.
    device : torch.device
        Where to train.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network. Tables are trained in float64 on the CPU.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints. Whoever asks for the same autoencoder of the same images again gets
        it from there.
    callbacks : sequence of Callback
        Followers of the progress.
    """
    shape = sample_shape(X)
    dtype = sample_dtype(X, device)
    preprocessor = Preprocessor(spec.preprocess, shape).to(device, dtype).fit(X)
    images = TrainingImages(X, preprocessor, device)
    encoder = new_encoder(spec.encoder, shape, seed, device, dtype, spec.allow_collapse)
    autocast = autocast_dtype(precision, encoder)
    names = CheckpointNames(checkpoints, X, seed, autocast)
    pretrained = Pretrained(preprocessor, images, encoder, None, autocast, names)
    if spec.phase.epochs:
        decoder = new_decoder(spec, shape, seed, device, dtype)
        pretrained.decoder = decoder
        pretrained.history = PhaseRun(
            "pretrain", Reconstruction(encoder, decoder), images, spec.phase, seed=seed,
            autocast=autocast, checkpoint=names.path("pretrain", spec.model_dump(mode="json")),
            callbacks=callbacks,
        ).run()  # fmt: skip
    return pretrained


def new_encoder(
    spec: EncoderSpec,
    shape: tuple[int, ...],
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    allow_collapse: bool = False,
) -> nn.Module:
    """Build an encoder with the initial weights of this seed."""
    with seeded(seed):
        encoder = build_encoder(spec, shape, allow_collapse=allow_collapse)
    return place(encoder, device, dtype)


def new_decoder(
    spec: AutoencoderSpec,
    shape: tuple[int, ...],
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
) -> nn.Module:
    """Build the mirror of the spec's encoder with the initial weights of this seed."""
    with seeded(seed, 1):
        decoder = build_decoder(spec.encoder, shape, bounded_output=bounded_output(spec))
    return place(decoder, device, dtype)


def bounded_output(spec: AutoencoderSpec) -> bool:
    """Whether what the decoder is to restore lies between 0 and 1."""
    return bool(spec.preprocess) and spec.preprocess[-1].step == "minmax"


def sample_shape(X: NDArray[Any]) -> tuple[int, ...]:
    """Shape of one sample as networks see it: (C, H, W) of images N×H×W×C, or (F,)."""
    return (X.shape[3], X.shape[1], X.shape[2]) if X.ndim == 4 else (X.shape[1],)


def sample_dtype(X: NDArray[Any], device: torch.device) -> torch.dtype:
    """Return the number format of weights: float64 for tables where the device has it."""
    return torch.float64 if X.dtype == np.float64 and device.type != "mps" else torch.float32


def place(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Move a network to its device, with convolutions in the memory layout they like."""
    has_convolutions = any(isinstance(m, nn.Conv2d) for m in network.modules())
    layout = torch.channels_last if has_convolutions else torch.preserve_format
    return network.to(device, dtype).to(memory_format=layout)
