"""Training of one small sphere of an ensemble: an encoder that starts as the identity."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import nn

from insphere.nets.draws import initial_weights
from insphere.training.adam import Adam
from insphere.training.gradients import with_gradients

ROWS_FOR_A_CENTER = 8
MOST_CENTERS = 128
BATCH = 128
EVERY = 10  # steps after which it is seen whether training carries over
CARRIED = 0.5  # least share of the gain that must be found on rows that are not trained on
HELD = 5  # one row of so many is not trained on for this
MOST_COMPARED = 500
_ROUNDS = 20  # of k-means


@with_gradients
def train_row_sphere(
    rows: NDArray[np.float64],
    build: Callable[[], nn.Module],
    *,
    seed: int,
    steps: int,
    lr: float,
    goes_on: Callable[[int, nn.Module], bool] | None = None,
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
    goes_on : callable, optional
        Is given the number of steps so far and the encoder; training ends where it returns False.
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
    optimizer = Adam([*encoder.parameters(), centers], lr=lr)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        chosen = torch.randint(len(data), (min(BATCH, len(data)),), generator=generator)
        z = encoder(data[chosen]).flatten(1)
        near = torch.cdist(z, centers).square().amin(dim=1).mean()
        far = torch.cdist(z, z).square().mean()
        loss = near / far.clamp_min(torch.finfo(far.dtype).tiny)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if goes_on is not None and not goes_on(step + 1, encoder):
            break
    return encoder.eval()


def steps_that_carry_over(
    rows: NDArray[np.float64],
    build: Callable[[], nn.Module],
    *,
    seed: int,
    steps: int,
    lr: float,
) -> int:
    """Return how long training brings rows that it does not see closer together, too.

    An encoder of many columns can bring a few rows together without having learned what normal rows
    have in common. So four fifths of the rows are trained on, and every ten steps the fall of
    log(near / far) is measured on them and on the other fifth: near is the mean squared distance to
    the nearest other row that is trained on, far that to all. As long as the fall on the other
    fifth is at least half of that on the rows trained on, training carries over.

    Parameters
    ----------
    rows, build, seed, steps, lr
        See `train_row_sphere`.

    Returns
    -------
    int
        A multiple of ten, or `steps` if all of them carry over.
    """
    order = np.random.default_rng(seed).permutation(len(rows))
    held = max(1, len(rows) // HELD)
    own, other = rows[order[held:]], rows[order[:held]]
    known, new = (torch.from_numpy(np.ascontiguousarray(p[:MOST_COMPARED])) for p in (own, other))

    def quotients(encoder: nn.Module) -> NDArray[np.float64]:
        with torch.no_grad():
            z, w = encoder(known).flatten(1), encoder(new).flatten(1)
            among, across = torch.cdist(z, z).square(), torch.cdist(w, z).square()
            far = torch.stack([among.mean(), across.mean()])
            among.fill_diagonal_(float("inf"))
            near = torch.stack([d.amin(dim=1).mean() for d in (among, across)])
            least = torch.finfo(far.dtype).tiny
            found: NDArray[np.float64] = (
                (near.clamp_min(least) / far.clamp_min(least)).log().numpy()
            )
        return found

    before = quotients(train_row_sphere(own, build, seed=seed, steps=0, lr=lr))
    carried = 0

    def goes_on(step: int, encoder: nn.Module) -> bool:
        nonlocal carried
        if step % EVERY:
            return True
        fall, fall_elsewhere = before - quotients(encoder)
        if fall_elsewhere < CARRIED * fall:
            return False
        carried = step
        return True

    train_row_sphere(own, build, seed=seed, steps=steps, lr=lr, goes_on=goes_on)
    return steps if carried == steps - steps % EVERY else carried
