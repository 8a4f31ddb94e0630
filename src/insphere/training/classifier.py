"""Training of a classifier with the common loop, images and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from insphere.nets.classifier import Classifier
from insphere.nets.draws import initial_weights
from insphere.nets.spec import EncoderSpec
from insphere.preprocess.pipeline import Preprocessor, StepSpec
from insphere.training.batch import Batch, weighted_mean
from insphere.training.callbacks import Callback, Record
from insphere.training.checkpoint import CheckpointNames
from insphere.training.device import Precision, autocast_dtype
from insphere.training.gradients import with_gradients
from insphere.training.images import TrainingImages
from insphere.training.loop import PhaseRun, mixed_seed
from insphere.training.objectives import Objective
from insphere.training.recipe import Phase
from insphere.training.start import new_encoder, place, sample_dtype, sample_shape
from insphere.training.training_set import TrainingSet


class ClassifierSpec(BaseModel):
    """All settings that determine how a classifier is trained, apart from the data and the seed.

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


class CrossEntropy(Objective):
    """Mean cross-entropy of a classifier on batches that carry labels.

    Parameters
    ----------
    classifier : Classifier
        The classifier.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self._hits = self._seen = 0

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""
        assert batch.labels is not None
        logits = self.classifier.logits(batch.x)
        self._hits += int((logits.argmax(dim=1) == batch.labels).sum())
        self._seen += batch.size
        if batch.weights is None:
            return nn.functional.cross_entropy(logits, batch.labels)
        losses = nn.functional.cross_entropy(logits, batch.labels, reduction="none")
        return weighted_mean(losses, batch.weights)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Record the share of correctly classified training samples."""
        accuracy = self._hits / self._seen
        self._hits = self._seen = 0
        return {"accuracy": accuracy}


@with_gradients
def train_classifier(
    train: TrainingSet,
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
    train : TrainingSet
        Samples of all known classes; its labels are from 0 to the number of classes less one.
    spec : ClassifierSpec
        Settings of the training.
    seed : int
        Seed of the initial weights and the order of the images.
    device : torch.device
        Device of the training.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network. Tables are trained in float64 on the CPU.
    checkpoints : pathlib.Path, optional
        Folder of checkpoints.
    callbacks : sequence of Callback
        Objects that follow the training; see `insphere.training.callbacks`.

    Returns
    -------
    classifier : Classifier
        In evaluation mode.
    history : list of dict
        One record for each epoch: phase, epoch, loss, accuracy, lr, seconds, images_per_second.
    """
    X, labels = train.data, train.labels
    assert labels is not None
    shape, dtype = sample_shape(X), sample_dtype(X, device)
    preprocessor = Preprocessor(spec.preprocess, shape).to(device, dtype).fit(X)
    images = TrainingImages(train, preprocessor, device, ordered=True)
    encoder = new_encoder(spec.encoder, shape, seed, device, dtype, allow_collapse=True)
    with initial_weights(mixed_seed(seed, 1)):
        network = Classifier(preprocessor, encoder, spec.encoder.rep_dim, int(labels.max()) + 1)
    place(network, device, dtype)
    autocast = autocast_dtype(precision, network)
    names = CheckpointNames(checkpoints, train, seed, autocast)
    history = PhaseRun(
        "classify", CrossEntropy(network), images, spec.phase, seed=seed,
        autocast=autocast, callbacks=callbacks,
        checkpoint=names.path("classify", spec.model_dump(mode="json")),
    ).run()  # fmt: skip
    return network.eval(), history
