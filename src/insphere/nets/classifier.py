"""A trained classifier as one module: raw samples in, a logit for each class out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from insphere.preprocess.pipeline import Preprocessor


class Classifier(nn.Module):
    """Preprocessing, encoder, and a dense layer from the representation to the classes.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the training images.
    encoder : torch.nn.Module
        From preprocessed samples to representations.
    rep_dim : int
        Length of a representation.
    classes : int
        Number of classes.
    """

    def __init__(
        self, preprocessor: Preprocessor, encoder: nn.Module, rep_dim: int, classes: int
    ) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.activation = nn.LeakyReLU(0.1)
        self.dense = nn.Linear(rep_dim, classes)

    def logits(self, prepared: Tensor) -> Tensor:
        """Map preprocessed samples to logits, shape (N, classes)."""
        z: Tensor = self.encoder(prepared)
        logits: Tensor = self.dense(self.activation(z).to(self.dense.weight.dtype))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map raw samples N×C×H×W or N×F to logits, shape (N, classes)."""
        return self.logits(self.preprocessor(x))


class Uncertainty(nn.Module):
    """1 − the largest probability among some classes.

    It is summed from the other probabilities, so that a classifier that is sure of many samples
    still orders them.

    Parameters
    ----------
    classifier : torch.nn.Module
        From raw samples to logits.
    classes : sequence of int
        Columns of the logits among which the largest is taken.
    """

    classes: Tensor

    def __init__(self, classifier: nn.Module, classes: Sequence[int]) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("classes", torch.tensor(list(classes)))
        self.to(next(classifier.parameters()).device)

    def forward(self, x: Tensor) -> Tensor:
        """Map raw samples N×C×H×W or N×F to (N,)."""
        logits: Tensor = self.classifier(x)
        selected = self.classes[logits[:, self.classes].argmax(dim=1)]
        others = torch.arange(logits.shape[1], device=logits.device) != selected[:, None]
        share: Tensor = (logits.softmax(dim=1) * others).sum(dim=1)
        return share
