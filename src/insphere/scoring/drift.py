"""Drift: a warning when incoming scores no longer look like those of the calibration.

Two tests share the wanted chance of a false warning. The conformal test martingale takes the
scores one after the other, and its result may be read after each of them. It is the capital of a
gambler who bets that the scores are not exchangeable with the calibration: he gets rich only if
they are not (Vovk et al. 2021, "Retrain or not retrain: conformal test martingales for change-point
detection"). The Kolmogorov–Smirnov test compares all incoming scores with all calibration scores
once, whatever their order.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp

from insphere.errors import DataError, SpecError

BETS = (-1.0, 0.0, 1.0)
JUMP = 0.01


@dataclass(frozen=True, eq=False)
class Drift:
    """Result of the two tests for drift.

    Attributes
    ----------
    log10_capital : ndarray of float64, shape (m,)
        Decimal logarithm of the gambler's capital after each score; it starts from 0.
    warning_level : float
        Where `log10_capital` is a warning.
    first_warning : int or None
        Position of the score at which it first was; None if it never was.
    ks_statistic, ks_p_value : float
        Largest distance between the two distribution functions, and its p-value.
    false_warning_rate : float
        Bound on the chance that either test warns although nothing changed; half for each.
    higher : bool
        Whether incoming scores lie above the calibration's in the median.
    """

    log10_capital: NDArray[np.float64]
    warning_level: float
    first_warning: int | None
    ks_statistic: float
    ks_p_value: float
    false_warning_rate: float
    higher: bool

    @property
    def warned(self) -> bool:
        """Whether either test warns."""
        return self.first_warning is not None or self.ks_p_value <= self.false_warning_rate / 2

    def sentence(
        self, singular: str = "image", plural: str = "images", *, independent: bool = True
    ) -> str:
        """Return the result as one sentence.

        Parameters
        ----------
        singular, plural : str
            What was scored.
        independent : bool
            Whether samples say nothing about each other; if not, the bound does not hold.
        """
        m = len(self.log10_capital)
        rate = f"{100 * self.false_warning_rate:g} %"
        dependent = f"neighbouring {plural} depend on each other, so that the bound of {rate} on a "
        if not self.warned:
            aside = f"such a test warns by mistake in at most {rate} of cases"
            if not independent:
                aside = f"{dependent}warning by mistake does not hold"
            return (
                f"No drift: the {m:,} scores look like those of the calibration {plural} ({aside})."
            )
        side = "higher" if self.higher else "lower"
        since = (
            f"noticed at {singular} {self.first_warning + 1:,} of {m:,}"
            if self.first_warning is not None
            else f"seen over all {m:,} {plural}"
        )
        aside = f"a false warning has a chance of at most {rate}"
        if not independent:
            aside = f"{dependent}false warning does not hold"
        return (
            f"Drift: scores are {side} than those of the calibration {plural}, {since} ({aside}); "
            f"look at the new {plural}, and train and calibrate again if they are normal."
        )


def detect_drift(
    calibration_scores: ArrayLike,
    scores: ArrayLike,
    *,
    false_warning_rate: float = 0.01,
    random_state: int = 0,
) -> Drift:
    """Test whether scores, in the order in which they came, are exchangeable with the calibration.

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Anomaly scores of normal images that the detector was not trained on.
    scores : array-like of shape (m,)
        Anomaly scores of what came in, the oldest first.
    false_warning_rate : float, default=0.01
        Largest chance of a warning although nothing changed, in (0, 1).
    random_state : int, default=0
        Breaks ties between scores; the same seed gives the same capital.

    Raises
    ------
    SpecError
        If `false_warning_rate` is not in (0, 1).
    DataError
        If either list is empty, or holds NaN or infinity.
    """
    if isinstance(false_warning_rate, bool) or not 0.0 < false_warning_rate < 1.0:
        raise SpecError(
            f"A false-warning rate lies between 0 and 1, but got {false_warning_rate!r}."
        )
    reference, incoming = (
        np.asarray(a, dtype=np.float64).ravel() for a in (calibration_scores, scores)
    )
    for values, name in ((reference, "calibration"), (incoming, "incoming")):
        if len(values) == 0 or not np.isfinite(values).all():
            raise DataError(f"Drift needs at least one {name} score, and finite ones only.")
    p_values = sequential_p_values(reference, incoming, random_state=random_state)
    capital = simple_jumper(p_values)
    level = math.log10(2 / false_warning_rate)
    beyond = np.flatnonzero(capital >= level)
    test = ks_2samp(reference, incoming)
    return Drift(
        log10_capital=capital,
        warning_level=level,
        first_warning=int(beyond[0]) if len(beyond) else None,
        ks_statistic=float(test.statistic),
        ks_p_value=float(test.pvalue),
        false_warning_rate=float(false_warning_rate),
        higher=bool(np.median(incoming) > np.median(reference)),
    )


def sequential_p_values(
    calibration_scores: ArrayLike, scores: ArrayLike, *, random_state: int = 0
) -> NDArray[np.float64]:
    """Rank each score among the calibration scores and all scores before it.

    Unlike p-values against the calibration alone, these are independent and uniform on [0, 1] if
    all scores are exchangeable (Vovk et al. 2005), which is what a martingale needs. Ties are
    broken at random.

    Returns
    -------
    ndarray of float64, shape (m,)
        Near 0 for high scores, near 1 for low ones.
    """
    seen = sorted(np.asarray(calibration_scores, dtype=np.float64).tolist())
    incoming = np.asarray(scores, dtype=np.float64).tolist()
    chance = np.random.default_rng(random_state).random(len(incoming))
    p_values = np.empty(len(incoming))
    for i, score in enumerate(incoming):
        above = len(seen) - bisect_right(seen, score)
        equal = len(seen) - above - bisect_left(seen, score)
        p_values[i] = (above + chance[i] * (equal + 1)) / (len(seen) + 1)
        insort(seen, score)
    return p_values


def simple_jumper(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return the decimal logarithm of the Simple Jumper martingale after each p-value.

    The capital is spread over three bets, 1 + ε(p − ½) with ε of −1, 0 and 1; before each p-value
    a hundredth of it is spread anew. It is a martingale for uniform independent p-values, so it
    ever exceeds 1/α with probability at most α (Ville 1939).
    """
    bets = np.array(BETS)
    parts = np.full(len(bets), 1 / len(bets))
    logarithm, path = 0.0, []
    for p in np.asarray(p_values, dtype=np.float64):
        parts = (1 - JUMP) * parts + JUMP / len(bets)
        parts = parts * (1 + bets * (p - 0.5))
        total = parts.sum()
        logarithm += math.log10(total)
        parts = parts / total  # kept at 1, so that neither riches nor ruin overflow
        path.append(logarithm)
    return np.array(path)
