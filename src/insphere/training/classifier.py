"""Training of a classifier with the same loop, images and checkpoints as everything else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from insphere.fingerprint import array_fingerprint
from insphere.nets.classifier import Classifier
from insphere.nets.spec import EncoderSpec
from insphere.preprocess.pipeline import Preprocessor, StepSpec
from insphere.training.autoencoder import (
    CheckpointNames,
    new_encoder,
    place,
    sample_dtype,
    sample_shape,
)
from insphere.training.callbacks import Callback, Record
from insphere.training.device import Precision, autocast_dtype
from insphere.training.images import TrainingImages
from insphere.training.loop import PhaseRun, seeded
from insphere.training.objectives import Objective
from insphere.training.recipe import Phase


class ClassifierSpec(BaseModel):
    """Everything that decides how a classifier is trained, apart from the data and the seed.

    Parameters
    ----------
    encoder : EncoderSpec
        The network before the last layer.
    preprocess : tuple of StepSpec
        Steps fitted on the training images.
    phase : Phase
        Epochs and learning rate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderSpec
    preprocess: tuple[StepSpec, ...]
    phase: Phase


class LabelledImages(TrainingImages):
    """Training images that remember the classes of the batch taken last.

    Parameters
    ----------
    images, preprocessor, device
        As in `TrainingImages`.
    labels : ndarray of int64, shape (N,)
        Class of each image, from 0.

    Attributes
    ----------
    taken : Tensor of int64
        Classes of the last batch, in its order.
    """

    def __init__(
        self,
        images: NDArray[Any],
        labels: NDArray[np.int64],
        preprocessor: Preprocessor,
        device: torch.device,
    ) -> None:
        super().__init__(images, preprocessor, device)
        self._labels = torch.from_numpy(labels)
        self.taken = torch.empty(0, dtype=torch.int64)

    def take(self, index: Tensor) -> Tensor:
        """Return the images at `index` in ascending order, and remember their classes."""
        index = index.sort().values
        self.taken = self._labels[index]
        return super().take(index)


class CrossEntropy(Objective):
    """Mean cross-entropy of a classifier on the batch that its images gave last.

    Parameters
    ----------
    classifier : Classifier
        What is trained.
    images : LabelledImages
        Where the batches come from.
    """

    def __init__(self, classifier: Classifier, images: LabelledImages) -> None:
        super().__init__()
        self.classifier = classifier
        self.images = images
        self._hits = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        logits = self.classifier.logits(x)
        labels = self.images.taken.to(logits.device)
        self._hits += int((logits.argmax(dim=1) == labels).sum())
        return nn.functional.cross_entropy(logits, labels)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Record the share of images that were classified rightly while training."""
        hits, self._hits = self._hits, 0
        return {"accuracy": hits / len(self.images)}


def train_classifier(
    X: NDArray[Any],
    labels: NDArray[np.int64],
    spec: ClassifierSpec,
    *,
    seed: int,
    device: torch.device,
    precision: Precision = "auto",
    checkpoints: Path | None = None,
    callbacks: Sequence[Callback] = (),
) -> tuple[Classifier, list[Record]]:
    """Train a classifier of known classes.

    Parameters
    ----------
    X : ndarray, shape (N, H, W, C) or (N, F)
        Training images of all known classes.
    labels : ndarray of int64, shape (N,)
        Class of each, from 0 to the number of classes less one.
    spec : ClassifierSpec
        How to train.
    seed : int
        Decides initial weights and the order of the images.
    device : torch.device
        Where to train.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network. Tables are trained in float64 on the CPU.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints.
    callbacks : sequence of Callback
        Followers of the progress.

    Returns
    -------
    classifier : Classifier
        In evaluation mode.
    history : list of dict
        One record for each epoch: phase, epoch, loss, accuracy, lr, seconds, images_per_second.
    """
    shape, dtype = sample_shape(X), sample_dtype(X, device)
    preprocessor = Preprocessor(spec.preprocess, shape).to(device, dtype).fit(X)
    images = LabelledImages(X, labels, preprocessor, device)
    encoder = new_encoder(spec.encoder, shape, seed, device, dtype, allow_collapse=True)
    with seeded(seed, 1):
        network = Classifier(preprocessor, encoder, spec.encoder.rep_dim, int(labels.max()) + 1)
    place(network, device, dtype)
    autocast = autocast_dtype(precision, network)
    names = CheckpointNames(checkpoints, X, seed, autocast)
    parts = spec.model_dump(mode="json")
    if checkpoints is not None:
        parts["labels"] = array_fingerprint(labels)
    history = PhaseRun(
        "classify", CrossEntropy(network, images), images, spec.phase, seed=seed,
        autocast=autocast, checkpoint=names.path("classify", parts), callbacks=callbacks,
    ).run()  # fmt: skip
    return network.eval(), history
