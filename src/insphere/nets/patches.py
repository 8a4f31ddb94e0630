"""The head on patch features, with its scaling and its centre, as one module."""

from __future__ import annotations

from torch import Tensor, nn

from insphere.preprocess.pipeline import Preprocessor


class PatchSphere(nn.Module):
    """Patch features in, squared distances to the centre out.

    Parameters
    ----------
    preprocessor : Preprocessor
        Scales the features; fitted on training normals.
    encoder : torch.nn.Module
        φ, applied to each patch by itself.
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
        """Map patches N×P×C to φ, shape (N, P, rep_dim)."""
        rows = x.flatten(0, 1).to(self.center.dtype)
        z: Tensor = self.encoder(self.preprocessor(rows))
        return z.to(self.center.dtype).view(x.shape[0], x.shape[1], -1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ‖φ − c‖² of each patch, (N, P), and that of each image's mean φ, (N,)."""
        z = self.represent(x)
        patches = (z - self.center).square().sum(dim=2)
        return patches, (z.mean(dim=1) - self.center).square().sum(dim=1)
