"""The head on patch features, with its scaling and its centre, as one module."""

from __future__ import annotations

from torch import Tensor, nn

from insphere.preprocess.pipeline import Preprocessor


def squared_distances(z: Tensor, center: Tensor) -> Tensor:
    """‖z − c‖² of each row, shape (N,); of several centres, (K, rep_dim), the nearest counts."""
    if center.ndim == 1:
        return (z - center).square().sum(dim=1)
    sides = z.square().sum(dim=1, keepdim=True) + center.square().sum(dim=1)
    nearest: Tensor = (sides - 2 * z @ center.T).amin(dim=1).clamp_min(0)
    return nearest


class PatchSphere(nn.Module):
    """Patch features in, squared distances to the centre out.

    Parameters
    ----------
    preprocessor : Preprocessor
        Scales the features; fitted on training normals.
    encoder : torch.nn.Module
        φ, applied to each patch by itself.
    center : Tensor, shape (rep_dim,) or (K, rep_dim)
        c, or several centres, of which the nearest counts.
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
        patches = squared_distances(z.flatten(0, 1), self.center).view(z.shape[:2])
        return patches, squared_distances(z.mean(dim=1), self.center)
