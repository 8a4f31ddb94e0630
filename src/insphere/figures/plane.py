"""The latent space laid flat: two dimensions, the centre in the middle, the radius as a circle.

A representation has 32 or more dimensions and no flat picture can keep all distances. Two pictures
lie in opposite ways, and each says how:

- The *projection* is exact about two directions: those through the centre along which the shown
  points spread most. What happens in the others is lost, so every point comes closer to the centre
  than it is. A point drawn outside the circle is outside the sphere; one drawn inside may not be.
- The *distances* picture moves every point of the projection outwards, along its direction, until
  it is as far from the centre as it really is. Inside and outside are exact; distances between two
  points are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.errors import DataError
from insphere.explain.score_checks import as_truth


@dataclass(frozen=True, eq=False)
class Plane:
    """Representations in two dimensions, with the centre at (0, 0).

    Parameters
    ----------
    projected : ndarray, shape (N, 2)
        Exact in two directions, too close to the centre.
    spread_out : ndarray, shape (N, 2)
        In the same direction, at the true distance.
    distances : ndarray, shape (N,)
        True distances ‖φ(x) − c‖.
    truth : ndarray of bool, shape (N,)
        True is anomalous.
    radius : float
        R.
    kept : float
        Share of the mean squared distance that the projection keeps.
    hidden : int
        How many points lie outside the sphere, but are projected into the circle.
    """

    projected: NDArray[np.float64]
    spread_out: NDArray[np.float64]
    distances: NDArray[np.float64]
    truth: NDArray[np.bool_]
    radius: float
    kept: float
    hidden: int

    @property
    def outside(self) -> NDArray[np.bool_]:
        """True for the points outside the sphere, shape (N,)."""
        beyond: NDArray[np.bool_] = self.distances > self.radius
        return beyond

    @property
    def limit(self) -> float:
        """How far the picture reaches from the centre, so that all but the farthest 1 % fit."""
        if not len(self.distances):
            return 1.25 * self.radius or 1.0
        return 1.08 * max(1.15 * self.radius, float(np.quantile(self.distances, 0.99))) or 1.0

    @property
    def honesty(self) -> str:
        """Two sentences on what the projection does to distances."""
        outside = int(self.outside.sum())
        return (
            f"The projection keeps {100 * self.kept:.0f} % of the squared distances from the "
            f"centre and can only bring points closer to it. Of {outside:,} points outside the "
            f"sphere, {self.hidden:,} are drawn within the circle."
        )


def flatten(
    representations: ArrayLike, truth: ArrayLike, center: ArrayLike, radius: float
) -> Plane:
    """Project representations to two dimensions.

    Parameters
    ----------
    representations : array-like of float, shape (N, D)
        φ(x) of each image.
    truth : array-like of int or bool, shape (N,)
        0 for normal, 1 for anomalous.
    center : array-like of float, shape (D,)
        c.
    radius : float
        R.

    Raises
    ------
    DataError
        If shapes do not fit, or a number is not finite.
    """
    points = np.asarray(representations, dtype=np.float64)
    middle = np.asarray(center, dtype=np.float64)
    if points.ndim != 2 or middle.shape != points.shape[1:]:
        raise DataError(
            f"Representations of shape {points.shape} do not fit a centre of shape {middle.shape}."
        )
    if not (np.isfinite(points).all() and np.isfinite(middle).all() and np.isfinite(radius)):
        raise DataError("Representations, centre and radius must be finite numbers.")
    around = points - middle
    distances = np.linalg.norm(around, axis=1)
    # Directions through the centre, not through the mean: the circle is then a cut of the sphere.
    _, _, directions = np.linalg.svd(around, full_matrices=False)
    directions = directions[:2]
    largest = np.abs(directions).argmax(axis=1)  # a direction has no sign of its own: make one
    directions = directions * np.sign(directions[np.arange(len(directions)), largest])[:, None]
    projected = np.zeros((len(points), 2))
    flat = around @ directions.T
    projected[:, : flat.shape[1]] = flat
    lengths = np.linalg.norm(projected, axis=1)
    direction = np.divide(
        projected, lengths[:, None], out=np.tile([1.0, 0.0], (len(points), 1)),
        where=lengths[:, None] > 0,
    )  # fmt: skip
    total = float((distances**2).sum())
    return Plane(
        projected,
        direction * distances[:, None],
        distances,
        as_truth(truth, len(points)),
        float(radius),
        float((lengths**2).sum()) / total if total else 1.0,
        int(((distances > radius) & (lengths <= radius)).sum()),
    )
