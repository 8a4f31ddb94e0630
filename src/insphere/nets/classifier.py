"""A trained classifier as one module: raw samples in, a logit for each class out."""

from __future__ import annotations

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
