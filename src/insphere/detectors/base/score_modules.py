"""Torch modules that several families of detectors score with.

Each computes in torch what a detector computes in NumPy. The two agree except for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.detectors.base.suspects import SMALLEST
from insphere.scoring.severity import SeverityScale

LN10 = math.log(10)
TINY = 1e-300  # keeps the gradient of a root finite at 0


def as_columns(rows: NDArray[Any]) -> Tensor:
    """Return stored rows (M, d) as columns (d, M).

    Products with them, and weighted sums of them (`sums_of_columns`), need no other layout. So a
    graph that scores with them and draws maps with them holds them once.
    """
    return torch.from_numpy(np.array(rows.T, order="C"))


def sums_of_columns(weights: Tensor, columns: Tensor) -> Tensor:
    """Return sums of stored columns (d, M) by weights (N, M), shape (N, d)."""
    return (columns @ weights.T).T


def squared_distances(F: Tensor, columns: Tensor) -> Tensor:
    """Return the squared Euclidean distances of rows (…, N, d) to columns (d, M), (…, N, M).

    As products, because differences of all pairs would take d times the memory.
    """
    products = F @ columns
    own = F.square().sum(dim=-1, keepdim=True)
    return (own - 2 * products + columns.square().sum(dim=0)).clamp_min(0)


def distances(F: Tensor, stored: Tensor) -> Tensor:
    """Return the Euclidean distances of rows (…, N, d) to stored rows (M, d), (…, N, M)."""
    return squared_distances(F, stored.T).clamp_min(TINY).sqrt()


class Applied(nn.Module):
    """A function of a network as a module.

    Parameters
    ----------
    network : torch.nn.Module
        Whose weights the function uses.
    compute : callable
        From a batch to its values.
    """

    def __init__(self, network: nn.Module, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.compute = network, compute

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function to a batch."""
        return self.compute(x)


class NearestVectors(nn.Module):
    """Mean distance to the nearest stored vectors, (N, d) to (N,).

    Parameters
    ----------
    vectors : ndarray, shape (M, d)
        The stored vectors.
    n_neighbors : int
        Number of nearest ones.
    """

    training_vectors: Tensor

    def __init__(self, vectors: NDArray[Any], n_neighbors: int) -> None:
        super().__init__()
        self.register_buffer("training_vectors", torch.from_numpy(vectors))
        self.n_neighbors = n_neighbors

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors.

        Products find the nearest, and differences give their distances, as in
        `insphere.detectors.base.neighbors.mean_distance`.
        """
        away = [(F - near).square().sum(dim=1) for near in self._nearest(F)]
        return torch.stack(away, dim=1).clamp_min(TINY).sqrt().mean(dim=1)

    def expected(self, F: Tensor) -> Tensor:
        """Return the mean of the nearest stored vectors of each, (N, d)."""
        return torch.stack(self._nearest(F)).mean(dim=0)

    def _nearest(self, F: Tensor) -> list[Tensor]:
        """Return the nearest stored vectors of each, then the second nearest and so on, (N, d)."""
        columns = self.training_vectors.T  # also looked up in, so that a graph stores it once
        squared = columns.square().sum(dim=0) - 2 * F @ columns  # less what changes no order
        index = squared.topk(self.n_neighbors, dim=1, largest=False).indices
        return [columns[:, rows].T for rows in index.unbind(dim=1)]


class LessLikeSuspects(nn.Module):
    """A mean distance in units of the root of that to suspected anomalies, (N, d) to (N,).

    Parameters
    ----------
    nearest : NearestVectors
        The distance to normal vectors.
    suspects : ndarray, shape (M, d)
        Vectors that may be anomalous; see `insphere.detectors.base.suspects`.
    """

    def __init__(self, nearest: NearestVectors, suspects: NDArray[Any]) -> None:
        super().__init__()
        self.nearest = nearest
        self.suspects = NearestVectors(suspects, nearest.n_neighbors)

    def forward(self, F: Tensor) -> Tensor:
        """Score vectors."""
        away: Tensor = self.suspects(F)
        score: Tensor = self.nearest(F) / away.clamp_min(SMALLEST).sqrt()
        return score

    def expected(self, F: Tensor) -> Tensor:
        """Return the mean of the nearest normal vectors of each, (N, d)."""
        return self.nearest.expected(F)


def neighbors_head(
    training: NDArray[Any], suspects: NDArray[Any] | None, n_neighbors: int
) -> nn.Module:
    """Return what `insphere.detectors.base.suspects.neighbor_score` computes, as a module."""
    nearest = NearestVectors(training, n_neighbors)
    return nearest if suspects is None else LessLikeSuspects(nearest, suspects)


class NearestClass(nn.Module):
    """The smallest score by several classes, each in units of the radius of its class.

    Parameters
    ----------
    classes : sequence of torch.nn.Module
        From what they share to the score by each class, (N,).
    radii : ndarray, shape (n_classes,)
        Their radii.
    """

    radii: Tensor

    def __init__(self, classes: Sequence[nn.Module], radii: NDArray[Any]) -> None:
        super().__init__()
        self.classes = nn.ModuleList(classes)
        self.register_buffer("radii", torch.from_numpy(np.asarray(radii, np.float64)))

    def forward(self, x: Tensor) -> Tensor:
        """Score a batch."""
        found = torch.stack([one(x).double() for one in self.classes], dim=1)
        return (found / self.radii).amin(dim=1)


class Severity(nn.Module):
    """A `SeverityScale` as a module, (N,) to (N,).

    Parameters
    ----------
    scale : SeverityScale
        What to compute.
    """

    knots: Tensor
    heights: Tensor

    def __init__(self, scale: SeverityScale) -> None:
        super().__init__()
        ordered = scale.calibration_scores
        n, knots = len(ordered), np.unique(ordered)
        at_or_above = n - np.searchsorted(ordered, knots, side="left")
        self.register_buffer("knots", torch.tensor(knots))
        self.register_buffer("heights", torch.tensor(-np.log10((1 + at_or_above) / (n + 1))))
        self.top, self.rounding = float(ordered[-1]), scale.rounding
        self.resolution, self.tail = scale.resolution, scale.tail
        self.at_top = self._excess(self.top)

    def _excess(self, score: float) -> float:
        excess = max(score - self.tail.start, 0.0) / self.tail.scale
        shape = self.tail.shape
        return -(excess if shape == 0 else math.log1p(shape * excess) / shape) / LN10

    def forward(self, score: Tensor) -> Tensor:
        """Turn scores into severities."""
        last = len(self.knots) - 1
        passed = (self.knots <= score[:, None]).sum(dim=1)
        low, high = (passed - 1).clamp_min(0), passed.clamp_max(last)
        width = self.knots[high] - self.knots[low]
        share = (score - self.knots[low]) / torch.where(width > 0, width, torch.ones_like(width))
        between = self.heights[low] + share * (self.heights[high] - self.heights[low])
        between = torch.where(width > 0, between, self.heights[low])
        body = torch.where(passed > 0, between, torch.zeros_like(between))
        beyond = score > self.top + self.rounding
        inside = torch.where(beyond, score, torch.full_like(score, self.top))
        excess = ((inside - self.tail.start).clamp_min(0) / self.tail.scale).clamp_max(1e300)
        if self.tail.shape:
            excess = torch.log(1 + self.tail.shape * excess) / self.tail.shape
        growth = (self.at_top + excess / LN10).clamp_min(0)
        return torch.where(beyond, self.resolution + growth, body)


class MeanSeverity(nn.Module):
    """The mean severity of a sample by several detectors.

    Parameters
    ----------
    scores : sequence of torch.nn.Module
        From raw samples to the score of each detector.
    scales : sequence of SeverityScale
        From the scores that each gave to held-out normal samples.
    """

    def __init__(self, scores: Sequence[nn.Module], scales: Sequence[SeverityScale]) -> None:
        super().__init__()
        self.scores = nn.ModuleList(scores)
        self.severities = nn.ModuleList(Severity(scale) for scale in scales)

    def forward(self, x: Tensor) -> Tensor:
        """Score samples."""
        found = [
            severity(score(x).double())
            for score, severity in zip(self.scores, self.severities, strict=True)
        ]
        return torch.stack(found).mean(dim=0)


class MeanMap(nn.Module):
    """The mean of several heat maps, each on the scale of its normal images.

    Parameters
    ----------
    maps : sequence of torch.nn.Module
        From raw images to maps.
    scales : sequence of (float, float)
        Mean and standard deviation of the pixels of each on normal images.
    """

    def __init__(self, maps: Sequence[nn.Module], scales: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        self.maps, self.scales = nn.ModuleList(maps), list(scales)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the maps of a batch."""
        found = [
            (one(x) - mean) / std for one, (mean, std) in zip(self.maps, self.scales, strict=True)
        ]
        return torch.stack(found).mean(dim=0).clamp_min(0)
