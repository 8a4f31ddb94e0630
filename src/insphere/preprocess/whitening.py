"""ZCA whitening: decorrelated pixels that still look like the image."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from insphere.errors import SpecError
from insphere.preprocess.step import Batches, Spec, Step

MAX_FEATURES = 16_384


class ZCAWhiteningSpec(Spec):
    """Settings of `ZCAWhitening`."""

    step: Literal["zca"] = "zca"
    eps: float = Field(default=0.1, gt=0)

    def build(self, shape: tuple[int, ...]) -> ZCAWhitening:
        """Make the step for samples of `shape`."""
        return ZCAWhitening(shape, self.eps)


class ZCAWhitening(Step):
    """ZCA whitening (Bell & Sejnowski 1997; Krizhevsky 2009, appendix A).

    With the covariance U Λ Uᵀ of the training normals, a sample is mapped to
    U (Λ + ε λ̄ I)^(-1/2) Uᵀ (x − mean), where λ̄ is the mean eigenvalue. Measuring ε in units of λ̄
    gives one setting the same effect at any scale of the pixels. The eigendecomposition runs in
    float64.

    Parameters
    ----------
    shape : tuple of int
        Shape of one sample.
    eps : float
        ε: directions whose variance lies below ε times the mean variance are not amplified.
    """

    mean: Tensor
    whitening: Tensor
    coloring: Tensor

    def __init__(self, shape: tuple[int, ...], eps: float = 0.1) -> None:
        super().__init__()
        features = math.prod(shape)
        if features > MAX_FEATURES:
            raise SpecError(
                f"ZCA whitening of {features} values an image needs a matrix of {features}² "
                f"numbers; resize the images to at most {MAX_FEATURES} values or leave zca out."
            )
        self.eps = eps
        self.register_buffer("mean", torch.zeros(1, features))
        self.register_buffer("whitening", torch.eye(features))
        self.register_buffer("coloring", torch.eye(features))

    def fit(self, batches: Batches) -> None:
        """Compute mean, covariance and both square roots."""
        features = self.mean.shape[1]
        device = torch.device("cpu") if self.mean.device.type == "mps" else self.mean.device
        total = torch.zeros(1, features, dtype=torch.float64, device=device)
        count = 0
        for x in batches():
            total += x.flatten(1).to(device).double().sum(dim=0, keepdim=True)
            count += len(x)
        mean = total / count
        covariance = torch.zeros(features, features, dtype=torch.float64, device=device)
        for x in batches():
            centered = x.flatten(1).to(device).double() - mean
            covariance += centered.T @ centered
        covariance /= count
        eigenvalues, vectors = torch.linalg.eigh(covariance)
        eigenvalues = eigenvalues.clamp_min(0)
        spread = float(eigenvalues.mean())
        roots = (eigenvalues + self.eps * (spread if spread > 0 else 1.0)).sqrt()
        self.mean.copy_(mean)
        self.whitening.copy_((vectors / roots) @ vectors.T)
        self.coloring.copy_((vectors * roots) @ vectors.T)

    def forward(self, x: Tensor) -> Tensor:
        """Whiten a batch."""
        return ((x.flatten(1) - self.mean) @ self.whitening).view(x.shape)

    def inverse(self, x: Tensor) -> Tensor:
        """Undo the whitening."""
        return (x.flatten(1) @ self.coloring + self.mean).view(x.shape)
