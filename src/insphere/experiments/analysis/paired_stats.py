"""Paired comparison of two methods on the same classes with the same seeds.

The class is the unit. Runs of one class with several seeds are similar. If they were counted as
independent, the interval would be too narrow. So the seeds of a class are averaged first, and
interval and test use one difference for each class.

Interval: Student's t over the classes. A bootstrap of ten values, or four, is too narrow. The
interval is for the mean over classes like these; it is not corrected for the number of comparisons.

Test: if the change has no effect, each difference is as likely to have the other sign. The p-value
is the share of all 2ⁿ choices of signs whose mean is at least as far from zero (two-sided). This is
exact and assumes no normal distribution. It cannot fall below 2/2ⁿ, so few classes show nothing.
For more than `EXACT` classes, Wilcoxon's signed-rank test is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Cell = tuple[str, int]
"""Normal class and seed."""

EXACT = 14
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Pairs:
    """Differences option − baseline, for cells in which both were measured.

    Parameters
    ----------
    differences : dict of (str, int) to float
        By class and seed.
    without_option, without_baseline, without_both : int
        Numbers of expected cells without a pair, by what is missing.
    """

    differences: dict[Cell, float]
    without_option: int = 0
    without_baseline: int = 0
    without_both: int = 0

    @property
    def missing(self) -> int:
        """Number of expected pairs that are missing."""
        return self.without_option + self.without_baseline + self.without_both

    def by_class(self) -> dict[str, float]:
        """Return the mean difference over the seeds of each class."""
        collected: dict[str, list[float]] = {}
        for (name, _), difference in self.differences.items():
            collected.setdefault(name, []).append(difference)
        return {name: float(np.mean(values)) for name, values in collected.items()}


@dataclass(frozen=True)
class Effect:
    """The effect of a change, over classes.

    Parameters
    ----------
    n : int
        Number of classes.
    mean : float
        Mean difference over classes.
    low, high : float or None
        Confidence interval of the mean; None for a single class.
    p : float
        p-value of the test that nothing changes.
    """

    n: int
    mean: float
    low: float | None
    high: float | None
    p: float

    def contains(self, value: float) -> bool | None:
        """Return whether the interval contains a value; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= value <= self.high


def pair(
    option: Mapping[Cell, float],
    baseline: Mapping[Cell, float],
    wanted: Sequence[Cell] | None = None,
) -> Pairs:
    """Subtract the baseline in cells with both, and count the others.

    Parameters
    ----------
    option, baseline : mapping of (str, int) to float
        Measured values by class and seed.
    wanted : sequence of (str, int), optional
        Expected pairs; by default all that either of them has.

    Examples
    --------
    >>> pair({("3", 0): 0.75, ("3", 1): 0.5}, {("3", 0): 0.5, ("5", 0): 0.5})
    Pairs(differences={('3', 0): 0.25}, without_option=1, without_baseline=1, without_both=0)
    """
    cells = list(dict.fromkeys([*baseline, *option])) if wanted is None else wanted
    there = [(cell in option, cell in baseline) for cell in cells]
    return Pairs(
        {
            cell: option[cell] - baseline[cell]
            for cell in cells
            if cell in option and cell in baseline
        },
        without_option=there.count((False, True)),
        without_baseline=there.count((True, False)),
        without_both=there.count((False, False)),
    )


def effect(differences: Sequence[float]) -> Effect:
    """Estimate and test the mean of one difference for each class; at least one.

    Examples
    --------
    >>> effect([1.0, 2.0, 3.0]).p  # of the 8 means only 2 and -2 are as far from zero
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    n, mean = len(values), float(values.mean())
    if n == 1:
        return Effect(1, mean, None, None, 1.0)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Effect(n, mean, mean - half, mean + half, _p(values))


def smallest_p(n: int) -> float:
    """Return the smallest p-value that `n` classes can give.

    Examples
    --------
    >>> smallest_p(4), smallest_p(1)
    (0.125, 1.0)
    """
    return 2.0 ** (1 - n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by the method of Holm (1979).

    The smallest of m is multiplied by m, the next by m − 1, and so on; none falls below a smaller
    one, or rises above 1.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    m = len(p_values)
    corrected = [0.0] * m
    largest = 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (m - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def _p(values: NDArray[np.float64]) -> float:
    if len(values) > EXACT:
        return float(stats.wilcoxon(values, zero_method="zsplit").pvalue)
    tested = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    return float(tested.pvalue)
