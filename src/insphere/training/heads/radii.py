"""Radii by direction: how far out normal samples lie in the direction of a sample.

A representation z determines its own distance ‖z − c‖. A radius that is predicted from z itself can
therefore follow the distance and hide every anomaly. The radii here know the direction
u = (z − c) / ‖z − c‖ alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.training.batch import weighted_mean
from insphere.training.heads.head import take_shapes
from insphere.training.heads.held_out_fit import FEWEST, fit_held_out

LR = 3e-3
MOST_STORED = 20_000
"""Samples that are stored as neighbours at most, evenly chosen."""


def pinball_loss(errors: Tensor, level: float) -> Tensor:
    """Return max(τ e, (τ − 1) e) for errors e = y − q: its mean is smallest at the τ quantile of y.

    Parameters
    ----------
    errors : Tensor
        Values minus their predicted quantiles.
    level : float
        τ, in (0, 1).

    Returns
    -------
    Tensor
        Of the same shape. The gradient by q is −τ where y > q, and 1 − τ where y < q.

    References
    ----------
    Koenker and Bassett 1978, "Regression quantiles", Econometrica 46.

    Examples
    --------
    >>> pinball_loss(torch.tensor([2.0, -2.0]), 0.75)
    tensor([1.5000, 0.5000])
    """
    return torch.maximum(level * errors, (level - 1) * errors)


class QuantileRadius(nn.Module):
    """R(u) = R₀ exp(v·relu(W u)): a network without biases, trained with the pinball loss.

    R₀ is the quantile of all distances, and v = 0 gives it to every direction. The loss is that of
    log distances, whose quantile is the log of the quantile, so that its unit does not matter. The
    step with the smallest loss on a fifth of the samples, which is not trained on, is kept.

    Parameters
    ----------
    rep_dim : int
        Length of a direction.
    hidden : int
        Units of the hidden layer.
    level : float
        Level of the quantile.
    """

    first: Tensor
    second: Tensor
    usual: Tensor

    def __init__(self, rep_dim: int, hidden: int, level: float) -> None:
        super().__init__()
        self.level = level
        self.register_buffer("first", torch.zeros(hidden, rep_dim))
        self.register_buffer("second", torch.zeros(hidden))
        self.register_buffer("usual", torch.ones(()))

    def forward(self, u: Tensor) -> Tensor:
        """Return the radius in each direction (N, rep_dim): shape (N,)."""
        return self.usual * log_factor(u, self.first, self.second).exp()

    def fit(self, u: Tensor, distances: Tensor, weights: Tensor | None = None) -> None:
        """Learn the radius from directions (N, rep_dim) and distances (N,) of normal samples."""
        self.usual = weighted_quantile(distances, self.level, weights)
        self.second = torch.zeros_like(self.second)
        if len(u) < FEWEST:
            return
        generator = torch.Generator().manual_seed(0)
        hidden, dim = self.first.shape
        start = torch.randn(hidden, dim, generator=generator, dtype=torch.double) * dim**-0.5
        first = nn.Parameter(start.to(u))
        second = nn.Parameter(torch.zeros_like(self.second))
        y = (distances / self.usual).log()

        def loss(rows: Tensor) -> Tensor:
            errors = y[rows] - log_factor(u[rows], first, second)
            own = None if weights is None else weights[rows]
            return weighted_mean(pinball_loss(errors, self.level), own)

        def keep() -> None:
            self.first, self.second = first.detach().clone(), second.detach().clone()

        # With zero weights, as at the start, there is one radius.
        fit_held_out(loss, [first, second], len(u), generator, u.device, lr=LR, keep=keep)


class NeighborRadius(nn.Module):
    """The quantile of the distances of the normal samples in the most similar directions.

    Parameters
    ----------
    rep_dim : int
        Length of a direction.
    n_neighbors : int
        Samples of which the quantile is taken.
    level : float
        Level of the quantile.
    """

    directions: Tensor
    distances: Tensor

    def __init__(self, rep_dim: int, n_neighbors: int, level: float) -> None:
        super().__init__()
        self.n_neighbors, self.level = n_neighbors, level
        self.register_buffer("directions", torch.zeros(1, rep_dim))
        self.register_buffer("distances", torch.ones(1))
        self.register_load_state_dict_pre_hook(take_shapes)  # type: ignore[no-untyped-call]

    def forward(self, u: Tensor, *, itself: bool = False) -> Tensor:
        """Return the radius in each direction (N, rep_dim): shape (N,).

        Parameters
        ----------
        u : Tensor, shape (N, rep_dim)
            Directions.
        itself : bool
            Leave out the most similar direction of each, which is its own.
        """
        k = max(1, min(self.n_neighbors, len(self.distances) - itself))
        near = (u @ self.directions.T).topk(min(k + itself, len(self.distances)), dim=1).indices
        beyond = k - max(1, round(self.level * k)) + 1
        return self.distances[near[:, int(itself) :]].topk(beyond, dim=1).values[:, -1]

    def fit(self, u: Tensor, distances: Tensor, weights: Tensor | None = None) -> None:
        """Store directions and distances of normal samples; weights play no part."""
        step = -(-len(u) // MOST_STORED)
        self.directions, self.distances = u[::step].clone(), distances[::step].clone()


def directions(z: Tensor, center: Tensor) -> Tensor:
    """Return (z − c) / ‖z − c‖ of each row."""
    return F.normalize(z - center, dim=1)


def log_factor(u: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return v·relu(W u) of each row."""
    return F.relu(u @ first.T) @ second


def weighted_quantile(values: Tensor, level: float, weights: Tensor | None = None) -> Tensor:
    """Return the smallest value that a share `level` of the weight does not exceed."""
    ascending, order = values.sort()
    shares = torch.ones_like(values, dtype=torch.double) if weights is None else weights[order]
    inside = shares.double().cumsum(dim=0)
    place = torch.searchsorted(inside, level * inside[-1] * (1 - 1e-9))
    return ascending[place.clamp_max(len(values) - 1)]
