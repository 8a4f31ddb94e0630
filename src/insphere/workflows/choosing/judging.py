"""How well scores separate held-out normal images from the challenges, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from insphere.scoring.severity import SeverityScale

Floats = NDArray[np.float64]

REPEATS = 300
WEIGHTS: Mapping[str, float] = {"local": 1.0, "whole": 1.0, "far": 0.0}
"""Weight of each group of challenges in the mean. Far-away images are shown, and not counted."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one candidate.

    Parameters
    ----------
    normal : dict of str to ndarray, shape (n,)
        Scores of the held-out normal images by the detector that is asked in each challenge.
    anomalous : dict of str to ndarray
        Scores of the images of each challenge.
    origin : dict of str to ndarray of int64
        From which held-out image each was made.
    group : dict of str to str
        Group of each challenge.
    """

    normal: dict[str, Floats]
    anomalous: dict[str, Floats]
    origin: dict[str, NDArray[np.int64]]
    group: dict[str, str]


@dataclass(frozen=True, eq=False)
class Judged:
    """What the scores of a candidate are worth.

    Parameters
    ----------
    auc : dict of str to float
        AUC of each challenge.
    proxy : float
        Weighted mean over the groups of the mean AUC of their challenges.
    draws : ndarray, shape (REPEATS,)
        The same for resampled held-out images; the same samples for every candidate.
    """

    auc: dict[str, float]
    proxy: float
    draws: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95 % of the draws."""
        low, high = np.quantile(self.draws, (0.025, 0.975))
        return float(low), float(high)


def judge(scores: Scores, seed: int = 0) -> Judged:
    """Compute AUC by challenge, their mean, and its bootstrap distribution.

    Held-out images are resampled together with the anomalies that were made from them.
    """
    n = len(next(iter(scores.normal.values())))
    rng = np.random.default_rng((seed, n))
    weights = rng.multinomial(n, np.full(n, 1 / n), REPEATS).astype(np.float64)
    auc, draws = {}, {}
    for name, anomalous in scores.anomalous.items():
        above = _above(anomalous, scores.normal[name])
        auc[name] = float(above.mean())
        of_anomalous = weights[:, scores.origin[name]]
        total = of_anomalous.sum(axis=1) * n
        mean = np.einsum("ra,an,rn->r", of_anomalous, above, weights, optimize=True)
        draws[name] = np.where(total > 0, mean / np.maximum(total, 1e-12), auc[name])
    together = _mean(np.array([auc[name] for name in auc])[:, None], list(auc), scores.group)
    drawn = _mean(np.stack([draws[name] for name in auc]), list(auc), scores.group)
    return Judged(auc, float(together[0]), drawn)


def _above(anomalous: Floats, normal: Floats) -> Floats:
    """Return 1 where an anomalous score is above a normal one, 1/2 where they are equal."""
    a, b = anomalous[:, None], normal[None, :]
    above: Floats = (a > b) + 0.5 * (a == b)
    return above


def _mean(values: Floats, names: Sequence[str], group: Mapping[str, str]) -> Floats:
    """Return the weighted mean over groups of the mean over their challenges."""
    total, weight = np.zeros(values.shape[1]), 0.0
    for one, share in WEIGHTS.items():
        rows = [i for i, name in enumerate(names) if group[name] == one]
        if rows and share:
            total += share * values[rows].mean(axis=0)
            weight += share
    return total / max(weight, 1e-12)


def combined(members: Sequence[Scores], seed: int = 0) -> Scores:
    """Combine the scores of candidates as `insphere.detectors.Combination` does.

    Each score becomes a severity (−log10 of a p-value, continued beyond the held-out scores), and
    the severities are averaged. So that no image is compared with itself, the held-out images are
    dealt into two halves, and each half is measured on the scores of the other.
    """
    first = members[0]
    names = [name for name in first.anomalous if all(name in one.anomalous for one in members)]
    n = len(first.normal[names[0]])
    half = np.random.default_rng((seed, n, 2)).permutation(n) % 2 == 0
    normal: dict[str, Floats] = {}
    anomalous: dict[str, Floats] = {}
    for name in names:
        origin = first.origin[name]
        parts = [
            (
                _severities(one.normal[name], one.normal[name], half, half),
                _severities(one.normal[name], one.anomalous[name], half, half[origin]),
            )
            for one in members
        ]
        normal[name] = np.mean([part[0] for part in parts], axis=0)
        anomalous[name] = np.mean([part[1] for part in parts], axis=0)
    return Scores(normal, anomalous, first.origin, first.group)


def _severities(
    reference: Floats, scores: Floats, half: NDArray[np.bool_], of_score: NDArray[np.bool_]
) -> Floats:
    out = np.empty(len(scores))
    for side in (True, False):
        out[of_score == side] = SeverityScale(reference[half != side])(scores[of_score == side])
    return out


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Return Spearman's rank correlation; NaN for fewer than three values or constant ones."""
    from scipy.stats import spearmanr

    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)
