"""Training of one small sphere of an ensemble: an encoder that starts as the identity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import nn

from insphere.nets.draws import initial_weights
from insphere.training.gradients import with_gradients

ROWS_FOR_A_CENTER = 8
MOST_CENTERS = 128
BATCH = 128
_ROUNDS = 20  # of k-means


@with_gradients
def train_row_sphere(
    rows: NDArray[np.float64],
    build: Callable[[], nn.Module],
    *,
    seed: int,
    steps: int,
    lr: float,
) -> nn.Module:
    """Train an encoder so that normal samples come close to one of many centres.

    Minimised is the mean squared distance to the nearest centre, divided by that between two
    samples of the batch: a sphere with many centres instead of one. The quotient does not change
    when everything shrinks, so that a representation of all samples by one point is no minimum.
    Centres start as those of k-means, and are learned.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, ...)
        Normal samples on one scale.
    build : callable
        Returns the encoder, which maps samples to representations of the same shape, and is the
        identity at the start.
    seed : int
        Seed of centres, initial weights and batches.
    steps : int
        Batches of 128; with 0 the encoder stays the identity.
    lr : float
        Learning rate of Adam.
    """
    with initial_weights(seed):
        encoder = build().double()
    if not steps:
        return encoder.eval()
    data = torch.from_numpy(np.ascontiguousarray(rows))
    count = min(MOST_CENTERS, max(2, len(rows) // ROWS_FOR_A_CENTER))
    means = KMeans(count, n_init=1, max_iter=_ROUNDS, random_state=seed)
    means.fit(rows.reshape(len(rows), -1))
    centers = nn.Parameter(torch.from_numpy(means.cluster_centers_.astype(np.float64)))
    optimizer = torch.optim.Adam([*encoder.parameters(), centers], lr=lr)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(data), (min(BATCH, len(data)),), generator=generator)
        z = encoder(data[chosen]).flatten(1)
        near = torch.cdist(z, centers).square().amin(dim=1).mean()
        far = torch.cdist(z, z).square().mean()
        loss = near / far.clamp_min(torch.finfo(far.dtype).tiny)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return encoder.eval()
