"""Sets of alarms in which the share of false ones is kept small (Benjamini and Hochberg, 1995)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from insphere.errors import DataError, SpecError


@dataclass(frozen=True, eq=False)
class AlarmSet:
    """Images to raise an alarm for, chosen together.

    Attributes
    ----------
    alarms : ndarray of bool, shape (m,)
        Which images are in the set.
    adjusted : ndarray of float64, shape (m,)
        Smallest rate at which each image would be in it.
    rate : float
        Wanted false-discovery rate.
    least : int
        With fewer images than this at the smallest possible p-value, or close to it, no set is
        possible: m images and n calibration scores need ⌈m / (rate · (n + 1))⌉.
    n_calibration : int
        Number of calibration scores behind the p-values.
    """

    alarms: NDArray[np.bool_]
    adjusted: NDArray[np.float64]
    rate: float
    least: int
    n_calibration: int

    def sentence(self) -> str:
        """Return one sentence: what the set is, or why it is empty."""
        m, chosen = len(self.alarms), int(self.alarms.sum())
        if chosen:
            return (
                f"{chosen:,} of {m:,} images are alarms of which on average at most "
                f"{100 * self.rate:g} % are false (Benjamini–Hochberg, {self.n_calibration:,} "
                "calibration images)."
            )
        if self.least > 1:
            enough = math.ceil(m / self.rate) - 1
            return (
                f"No alarms: with {self.n_calibration:,} calibration images, at least "
                f"{self.least:,} of {m:,} images must stand out beyond all of them for a "
                f"false-discovery rate of {100 * self.rate:g} %; {enough:,} calibration images "
                "would let a single one count."
            )
        return (
            f"No alarms: no set of the {m:,} images stands out enough for a false-discovery rate "
            f"of {100 * self.rate:g} %."
        )


def alarm_set(p_values: ArrayLike, rate: float, n_calibration: int) -> AlarmSet:
    """Choose alarms so that on average at most a share `rate` of them is false.

    Conformal p-values of images that share one calibration set depend on each other, but in a way
    under which the procedure stays valid (Bates et al. 2023, "Testing for outliers with
    conformal p-values").

    Parameters
    ----------
    p_values : array-like of shape (m,)
        Conformal p-values of images that are judged together.
    rate : float
        Wanted false-discovery rate, in (0, 1).
    n_calibration : int
        Number of calibration scores behind the p-values.

    Raises
    ------
    SpecError
        If `rate` is not in (0, 1), or so small that even all m images together could not be
        alarms with so few calibration scores.
    DataError
        If there are no p-values, or they are not in (0, 1].

    Examples
    --------
    >>> found = alarm_set([0.01, 0.5, 0.02, 0.9], 0.1, n_calibration=99)
    >>> found.alarms.tolist()
    [True, False, True, False]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not ((values > 0) & (values <= 1)).all():
        raise DataError("Alarms are chosen from a list of p-values above 0 and up to 1.")
    if isinstance(rate, bool) or not 0.0 < rate < 1.0:
        raise SpecError(f"A false-discovery rate lies between 0 and 1, but got {rate!r}.")
    # Tolerance: 0.1 · 10 is meant to be 1.
    least = math.ceil(len(values) / (rate * (n_calibration + 1)) * (1 - 1e-12))
    if least > len(values):
        raise SpecError(
            f"A false-discovery rate of {rate:g} needs at least {math.ceil(1 / rate) - 1} "
            f"calibration images, but there are {n_calibration}: hold out more images or ask for "
            "a higher rate."
        )
    adjusted = np.asarray(false_discovery_control(values, method="bh"), dtype=np.float64)
    return AlarmSet(adjusted <= rate * (1 + 1e-12), adjusted, float(rate), least, n_calibration)
