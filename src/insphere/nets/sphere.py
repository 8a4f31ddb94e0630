"""The trained model as one module: raw images in, squared distances to the centre out."""

from __future__ import annotations

from torch import Tensor, nn

from insphere.preprocess.pipeline import Preprocessor


class Sphere(nn.Module):
    """Preprocessing, encoder and centre together, so that no one can use them apart by mistake.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the training normals.
    encoder : torch.nn.Module
        φ(x; W).
    center : Tensor, shape (rep_dim,)
        c.
    """

    center: Tensor

    def __init__(self, preprocessor: Preprocessor, encoder: nn.Module, center: Tensor) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.register_buffer("center", center)

    def represent(self, x: Tensor) -> Tensor:
        """Map raw images N×C×H×W (uint8 or float) or rows N×F to φ(x), shape (N, rep_dim)."""
        z: Tensor = self.encoder(self.preprocessor(x))
        return z.to(self.center.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return ‖φ(x) − c‖² of each raw image, shape (N,)."""
        return (self.represent(x) - self.center).square().sum(dim=1)
