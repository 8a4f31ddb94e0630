"""Severity: how rare a score is among normal images, on one scale for all detectors.

Severity is −log10 of the chance that a normal image scores as high: 2 is one normal image in a
hundred, 3 one in a thousand. Up to the highest calibration score it follows their ranks, as the
conformal p-value does, so that both say the same of one image. Beyond, it follows a generalised
Pareto tail fitted to the highest of them (Pickands 1975, "Statistical inference using extreme
order statistics"), so that it keeps growing with the score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log1p
from scipy.stats import genpareto

from insphere.errors import DataError

STEPS = ((1.0, "usual"), (2.0, "unusual"), (3.0, "suspect"), (6.0, "severe"), (math.inf, "extreme"))
"""Named steps: each name holds for severities below its number."""

TAIL_SHARE = 0.1
LEAST_IN_TAIL = 10
LEAST_FOR_SHAPE = 30
ROUNDING = 1e-6
"""Scores that differ by less than this share of their range are equal: the rounding of one image's
score depends on its batch."""


@dataclass(frozen=True)
class Tail:
    """The generalised Pareto distribution of scores beyond `start`.

    Attributes
    ----------
    start : float
        Score at which the tail begins.
    share : float
        Chance that a normal image scores above it, in (0, 1].
    shape : float
        ξ ≥ 0: 0 is an exponential tail, larger is heavier. A negative ξ, which would give the
        scores an end, is not used: nothing may be infinitely severe.
    scale : float
        σ > 0, on the scale of the scores.
    """

    start: float
    share: float
    shape: float
    scale: float


def fit_tail(calibration_scores: ArrayLike) -> Tail:
    """Fit the tail to the highest tenth of the calibration scores, at least ten of them.

    With fewer than 30 scores in the tail, or where the likelihood prefers an end of the scores,
    it is exponential.

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Anomaly scores of normal images that the detector was not trained on.

    Raises
    ------
    DataError
        If there are no scores, or some are NaN or infinite.
    """
    ordered = _finite(calibration_scores)
    n = len(ordered)
    wanted = min(n - 1, max(LEAST_IN_TAIL, round(TAIL_SHARE * n)))
    start = float(ordered[n - 1 - wanted])
    excess = ordered[ordered > start] - start
    share = (1 + len(excess)) / (n + 1)
    # What one unit of score may be at least, where all scores are equal but for rounding.
    least = 1e-9 * float(np.abs(ordered).max()) or 1.0
    shape, scale = 0.0, max(float(excess.mean()) if len(excess) else 0.0, least)
    if len(excess) >= LEAST_FOR_SHAPE:
        # In units of the mean excess, which the search of the likelihood is made for.
        found, _, relative = genpareto.fit(excess / scale, floc=0)
        if found > 0 and np.isfinite((found, relative)).all() and relative > 0:
            shape, scale = float(found), float(relative) * scale
    return Tail(start, share, shape, scale)


class SeverityScale:
    """Turns scores into severities; monotone in the score.

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Anomaly scores of normal images that the detector was not trained on.
    tail : Tail, optional
        As `fit_tail` returned it; fitted now if not given.

    Attributes
    ----------
    calibration_scores : ndarray of float64, shape (n,)
        Ascending.
    tail : Tail
        What severities beyond the calibration scores rest on.
    resolution : float
        log10(n + 1): severities above it are finer than the calibration images can resolve.
    rounding : float
        Scores that differ by less are taken for equal.
    """

    def __init__(self, calibration_scores: ArrayLike, tail: Tail | None = None) -> None:
        self.calibration_scores = _finite(calibration_scores)
        self.tail = fit_tail(self.calibration_scores) if tail is None else tail
        self.resolution = math.log10(len(self.calibration_scores) + 1)
        self.rounding = ROUNDING * float(np.ptp(self.calibration_scores))
        ordered, n = self.calibration_scores, len(self.calibration_scores)
        self._knots = np.unique(ordered)
        at_or_above = n - np.searchsorted(ordered, self._knots, side="left")
        self._at_knots = -np.log10((1 + at_or_above) / (n + 1))
        self._log_chance_top = self._log_chance(ordered[-1])

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return the severity of each score.

        At a calibration score the severity is −log10 p, where p is the conformal p-value; between
        two it is interpolated, and never above −log10 p. Below all of them it is 0; beyond all, it
        grows from log10(n + 1) with the tail.

        Parameters
        ----------
        scores : array-like of shape (m,)
            Anomaly scores; higher is more anomalous.

        Returns
        -------
        ndarray of float64, shape (m,)
            0 or more; finite for finite scores.
        """
        values = np.asarray(scores, dtype=np.float64)
        top = self.calibration_scores[-1]
        body = np.interp(values, self._knots, self._at_knots, left=0.0)
        beyond = values > top + self.rounding  # the same image in another batch is not beyond
        growth = self._log_chance_top - self._log_chance(np.where(beyond, values, top))
        return np.where(beyond, self.resolution + np.maximum(growth, 0.0), body)

    def _log_chance(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return log10 of the chance that a score in the tail lies beyond each of `scores`."""
        tail = self.tail
        with np.errstate(over="ignore"):
            excess = np.maximum(np.asarray(scores, np.float64) - tail.start, 0.0) / tail.scale
        excess = np.minimum(excess, 1e300)
        # What scipy.stats.genpareto.logsf computes, without a millisecond for its checks.
        negative = log1p(tail.shape * excess) / tail.shape if tail.shape else excess
        log_chance: NDArray[np.float64] = -negative / math.log(10)
        return log_chance


def severity_step(severity: float) -> str:
    """Return the name of a severity's step: usual, unusual, suspect, severe or extreme.

    Examples
    --------
    >>> severity_step(0.4), severity_step(2.5)
    ('usual', 'suspect')
    """
    if math.isnan(severity):
        raise DataError("A severity must be a number, but is NaN.")
    return next((name for bound, name in STEPS if severity < bound), STEPS[-1][1])


def _finite(scores: Any) -> NDArray[np.float64]:
    ordered = np.sort(np.asarray(scores, dtype=np.float64).ravel())
    if len(ordered) == 0 or not np.isfinite(ordered).all():
        raise DataError("Severity needs at least one calibration score, and finite ones only.")
    return ordered
