"""The detectors without a network as torch modules, for export: raw samples in, scores out.

Each computes in torch and in float64 what a detector computes in NumPy. The two agree except for
rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.detectors.base.score_modules import as_columns, squared_distances, sums_of_columns
from insphere.nets.views import blurred

LEAST_CONTRAST = 1e-6


class FlatVectors(nn.Module):
    """Raw images N×C×H×W or rows N×F to vectors of float64, (N, d); bytes are divided by 255."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten a batch, images with their channels last."""
        whole = x.dtype == torch.uint8
        x = x.permute(0, 2, 3, 1).flatten(1) if x.ndim == 4 else x
        return x.double() / 255 if whole else x.double()


class BlurredVectors(nn.Module):
    """Raw images N×C×H×W to vectors of float64 after a Gaussian blur, (N, d); bytes over 255.

    Parameters
    ----------
    sigma : float
        Standard deviation of the blur in pixels.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        """Blur and flatten a batch, with channels last."""
        x = x.double() / 255 if x.dtype == torch.uint8 else x.double()
        return blurred(x, self.sigma).permute(0, 2, 3, 1).flatten(1)


class Contrast(nn.Module):
    """Contrast normalisation of each vector, and scaling to the extremes of the training ones.

    Parameters
    ----------
    low, high : float
        The extremes.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.width = low, high - low if high > low else 1.0

    def forward(self, F: Tensor) -> Tensor:
        """Normalise vectors (N, d)."""
        F = F - F.mean(dim=1, keepdim=True)
        contrast = F.abs().mean(dim=1, keepdim=True)
        F = F / torch.where(contrast > LEAST_CONTRAST, contrast, torch.ones_like(contrast))
        return (F - self.low) / self.width


class Projection(nn.Module):
    """Projection onto principal components, (N, d) to (N, k).

    Parameters
    ----------
    mean : ndarray, shape (d,)
        What is subtracted first.
    components : ndarray, shape (k, d)
        Orthonormal rows.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, mean: NDArray[Any], components: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("components", as_columns(components))

    def forward(self, F: Tensor) -> Tensor:
        """Project vectors."""
        projected: Tensor = (F - self.mean) @ self.components
        return projected

    def back(self, F: Tensor) -> Tensor:
        """Return vectors (N, d) from projected ones."""
        return sums_of_columns(F, self.components) + self.mean


class UnitLength(nn.Module):
    """Vectors divided by their length; zeros stay."""

    def forward(self, F: Tensor) -> Tensor:
        """Scale vectors (N, d)."""
        length = F.square().sum(dim=1, keepdim=True).sqrt()
        return F / torch.where(length == 0, torch.ones_like(length), length)


class ScaledLength(nn.Module):
    """Length of vectors whose columns are divided by their deviations, (N, d) to (N,).

    Parameters
    ----------
    deviation : ndarray, shape (d,)
        Standard deviation of each column.
    """

    deviation: Tensor

    def __init__(self, deviation: NDArray[Any]) -> None:
        super().__init__()
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        return (F / self.deviation).square().sum(dim=1).sqrt()


class KernelDensity(nn.Module):
    """Minus the logarithm of the sum of Gaussian kernels, (N, d) to (N,).

    Parameters
    ----------
    centers : ndarray, shape (M, d)
        Centres of the kernels.
    bandwidth : float
        Their standard deviation.
    """

    centers: Tensor

    def __init__(self, centers: NDArray[Any], bandwidth: float) -> None:
        super().__init__()
        self.register_buffer("centers", as_columns(centers))
        self.bandwidth = bandwidth

    def _exponents(self, F: Tensor) -> Tensor:
        return squared_distances(F, self.centers) / (-2 * self.bandwidth**2)

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        exponents = self._exponents(F)
        most = exponents.amax(dim=1, keepdim=True)
        total = (exponents - most).exp().sum(dim=1).log()
        return -(total + most[:, 0])

    def expected(self, F: Tensor) -> Tensor:
        """Return the mean of the centres, weighted by their kernels at each vector, (N, d)."""
        return sums_of_columns(self._exponents(F).softmax(dim=1), self.centers)


class SupportVectors(nn.Module):
    """Minus the decision function of a one-class support vector machine, (N, d) to (N,).

    Parameters
    ----------
    vectors : ndarray, shape (M, d)
        Support vectors.
    coefficients : ndarray, shape (M,)
        Their dual coefficients.
    intercept, gamma : float
        Of the decision function and its kernel.
    """

    vectors: Tensor
    coefficients: Tensor

    def __init__(
        self, vectors: NDArray[Any], coefficients: NDArray[Any], intercept: float, gamma: float
    ) -> None:
        super().__init__()
        self.register_buffer("vectors", as_columns(vectors))
        self.register_buffer("coefficients", torch.tensor(coefficients))
        self.intercept, self.gamma = intercept, gamma

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        kernel = (-self.gamma * squared_distances(F, self.vectors)).exp()
        score: Tensor = -(kernel @ self.coefficients) - self.intercept
        return score

    def expected(self, F: Tensor) -> Tensor:
        """Return the mean of the support vectors, weighted by coefficient and kernel, (N, d)."""
        exponents = self.coefficients.clamp_min(0).log() - self.gamma * squared_distances(
            F, self.vectors
        )
        return sums_of_columns(exponents.softmax(dim=1), self.vectors)


class Forest(nn.Module):
    """The score of an isolation forest, (N, d) to (N,); it has no gradients.

    Parameters
    ----------
    tables : dict of str to ndarray
        ``roots`` (T,), and ``feature``, ``cut``, ``left``, ``right``, ``path_length`` of all nodes.
        A leaf is its own child.
    depth : int
        Of the deepest tree.
    usual : float
        Mean path length by which that of a sample is divided.
    """

    roots: Tensor
    feature: Tensor
    cut: Tensor
    left: Tensor
    right: Tensor
    path_length: Tensor

    def __init__(self, tables: dict[str, NDArray[Any]], depth: int, usual: float) -> None:
        super().__init__()
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table))
        self.depth, self.usual = depth, usual

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        values = F.float().double()  # the precision of the cuts
        node = self.roots + torch.zeros_like(F[:, :1], dtype=self.roots.dtype)
        for _ in range(self.depth):
            below = values.gather(1, self.feature[node]) <= self.cut[node]
            node = torch.where(below, self.left[node], self.right[node])
        return 2.0 ** (-self.path_length[node].mean(dim=1) / self.usual)


class PixelMaps(nn.Module):
    """Squared distances of pixels from a normal image, (N, C, H, W) to (N, H, W), float32.

    Parameters
    ----------
    vectors : torch.nn.Module
        From raw images to flattened ones on the scale on which they are compared.
    projection : Projection or None
        Into the space of the head.
    head : torch.nn.Module
        Its ``expected`` is the normal image in that space.
    shape : (int, int, int)
        Height, width and channels.
    """

    def __init__(
        self,
        vectors: nn.Module,
        projection: Projection | None,
        head: nn.Module,
        shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.vectors, self.projection, self.head, self.shape = vectors, projection, head, shape

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps of a batch."""
        pixels: Tensor = self.vectors(x)
        expect: Any = self.head.expected
        if self.projection is None:
            expected = expect(pixels)
        else:
            expected = self.projection.back(expect(self.projection(pixels)))
        squared = (pixels - expected).square()
        maps: Tensor = squared.unflatten(1, self.shape).sum(dim=3).float()
        return maps


class MahalanobisMaps(nn.Module):
    """What each pixel adds to the squared Mahalanobis distance, (N, C, H, W) to (N, H, W).

    Parameters
    ----------
    vectors : torch.nn.Module
        From raw images to flattened ones.
    projection : Projection
        Onto the principal components.
    deviation : ndarray, shape (k,)
        Of each component.
    shape : (int, int, int)
        Height, width and channels.
    """

    deviation: Tensor

    def __init__(
        self,
        vectors: nn.Module,
        projection: Projection,
        deviation: NDArray[Any],
        shape: tuple[int, int, int],
    ) -> None:
        super().__init__()
        self.vectors, self.projection, self.shape = vectors, projection, shape
        self.register_buffer("deviation", torch.tensor(deviation))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps of a batch."""
        away = self.vectors(x) - self.projection.mean
        inside = away @ self.projection.components
        weighed = sums_of_columns(inside / self.deviation**2, self.projection.components)
        added: Tensor = (away * weighed).unflatten(1, self.shape).sum(dim=3).clamp_min(0).float()
        return added
