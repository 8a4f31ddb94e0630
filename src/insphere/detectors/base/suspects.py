"""Neighbours among training rows of which some are anomalous.

An anomalous training row makes all anomalies that resemble it look normal. The scores of the rows
among themselves tell such rows from normal ones only in part: of CIFAR-10's images, 40 % of them
are among the tenth with the highest scores if a tenth is anomalous. So three times the suspected
share is set aside. What that costs in normal rows is little beside what it gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.checks import require
from insphere.detectors.base.neighbors import Floats, mean_distance

TIMES = 3
"""So many times the suspected share of the rows is set aside."""
MOST = 0.5
ROUNDS = 3
FEWEST_NEIGHBORS = 10
SMALLEST = 1e-9


def are_stored(pollution: Any) -> bool:
    """Whether suspects are stored, for what a detector was given as `pollution`."""
    form = pollution.get("form") if isinstance(pollution, Mapping) else None
    return getattr(pollution, "form", form) == "hard"


def neighbors_to_keep(
    rows: Floats, kept: NDArray[np.intp] | None, pollution: Any, n_neighbors: int
) -> tuple[Floats, Floats | None, NDArray[np.intp] | None]:
    """Set aside the training rows that look least normal, if some may be anomalous.

    In each round, rows are ranked by their mean distance to the nearest of those that were not set
    aside in the round before.

    Parameters
    ----------
    rows : ndarray, shape (n, d)
        Training rows on the scale on which they are compared.
    kept : ndarray of int, shape (n,), or None
        Their positions among all training samples; None if they are all.
    pollution : float, mapping, Pollution or None
        The suspected share of anomalies, and what becomes of the suspects: "refine" leaves them
        out; "hard" also takes them for anomalies, see `neighbor_score`.
    n_neighbors : int
        Neighbours over which distances are averaged; at least ten are for the ranking, because few
        are misled by a few alike anomalies.

    Returns
    -------
    training : ndarray, shape (m, d)
        The rows to compare with.
    suspects : ndarray, shape (s, d), or None
        The others in the form "hard".
    kept : ndarray of int or None
        The positions of `training`, then those of `suspects`.

    Raises
    ------
    SpecError
        If the settings are not understood, or too few rows would be left.
    """
    if pollution is None:
        return rows, None, kept
    from insphere.detectors.base.network_state import settings
    from insphere.training.pollution import parse_pollution

    with settings():
        given = parse_pollution(pollution)
    assert given is not None
    require(
        given.form != "soft",
        'Distances to neighbours take pollution in the forms "refine" and "hard"; "soft" is for '
        "networks that are trained.",
    )
    count = round(min(TIMES * given.share, MOST) * len(rows))
    require(
        count > n_neighbors and len(rows) - count > n_neighbors,
        f"With pollution={given.share:g}, {count} of {len(rows)} training samples are set aside: "
        f"too few for n_neighbors={n_neighbors}; leave pollution out, or give more samples.",
    )
    aside = _least_normal(rows, count, max(n_neighbors, FEWEST_NEIGHBORS))
    places = np.arange(len(rows)) if kept is None else kept
    if given.form == "refine":
        return rows[~aside], None, places[~aside]
    return rows[~aside], rows[aside], np.concatenate([places[~aside], places[aside]])


def _least_normal(rows: Floats, count: int, n_neighbors: int) -> NDArray[np.bool_]:
    aside = np.zeros(len(rows), dtype=bool)
    for _ in range(ROUNDS):
        kept = rows[~aside]
        near = min(n_neighbors, len(kept) - 1)
        scores = np.empty(len(rows))
        scores[~aside] = mean_distance(kept, None, near)
        if aside.any():
            scores[aside] = mean_distance(kept, rows[aside], near)
        aside = np.zeros(len(rows), dtype=bool)
        aside[np.argsort(scores, kind="stable")[len(rows) - count :]] = True
    return aside


def neighbor_score(
    training: Floats, suspects: Floats | None, F: Floats, n_neighbors: int
) -> Floats:
    """Return the mean distance to the nearest rows, beside that to suspects if there are some.

    An image near a suspect is likely to be of its kind. So the distance counts in units of the root
    of that to the nearest suspects. The root, because many suspects are normal.

    Parameters
    ----------
    training, suspects : ndarray, shapes (m, d) and (s, d)
        From `neighbors_to_keep`.
    F : ndarray, shape (n, d)
        Rows to score.
    n_neighbors : int
        Neighbours over which distances are averaged.
    """
    distance = mean_distance(training, F, n_neighbors)
    if suspects is None:
        return distance
    return _beside(distance, mean_distance(suspects, F, n_neighbors))


def scores_as_if_new(training: Floats, suspects: Floats | None, n_neighbors: int) -> Floats:
    """Return the score of each training row, then of each suspect, without itself.

    Parameters
    ----------
    training, suspects, n_neighbors
        As in `neighbor_score`.
    """
    own = mean_distance(training, None, n_neighbors)
    if suspects is None:
        return own
    return np.concatenate(
        [
            _beside(own, mean_distance(suspects, training, n_neighbors)),
            _beside(
                mean_distance(training, suspects, n_neighbors),
                mean_distance(suspects, None, n_neighbors),
            ),
        ]
    )


def _beside(distance: Floats, to_suspects: Floats) -> Floats:
    beside: Floats = distance / np.sqrt(np.maximum(to_suspects, SMALLEST))
    return beside
