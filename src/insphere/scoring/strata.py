"""False alarms by group: the rate of each, and thresholds that keep a promise in each.

A threshold that promises 5 % on average may call 1 % of one camera's images anomalous and 20 % of
another's. *Mondrian* conformal prediction compares a sample with the calibration samples of its own
group, so that the promise holds in every group (Vovk, Gammerman and Shafer 2005, "Algorithmic
Learning in a Random World", section 4.5; Vovk 2013, "Conditional validity of inductive conformal
predictors").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from insphere.errors import DataError
from insphere.scoring.pvalues import conformal_p_values
from insphere.scoring.thresholds import conformal_calibration_size, conformal_threshold

SHOWN_RATES = (0.01, 0.05)
"""Promised rates for which the rate of the worst group is shown."""
CONFIDENCE = 0.9
MOST_NAMED = 5  # groups in a sentence


@dataclass(frozen=True)
class GroupRate:
    """How many normal samples of a group lie beyond a threshold.

    Parameters
    ----------
    name : str
        The group.
    n : int
        Its normal samples.
    outside : int
        Those beyond the threshold.
    low, high : float
        Interval of the rate (Clopper and Pearson 1934), so wide that the intervals of all groups
        hold together in nine of ten cases (Bonferroni).
    """

    name: str
    n: int
    outside: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Share beyond the threshold."""
        return self.outside / self.n

    def words(self) -> str:
        """Return the rate with its interval."""
        return (
            f"{100 * self.rate:.1f} % ({self.outside} of {self.n:,}; between {100 * self.low:.1f} "
            f"and {100 * self.high:.1f} %)"
        )


def group_rates(
    beyond: NDArray[np.bool_], groups: NDArray[np.str_], confidence: float = CONFIDENCE
) -> list[GroupRate]:
    """Return the rate of each group, the highest first.

    Parameters
    ----------
    beyond : ndarray of bool, shape (n,)
        Which normal samples lie beyond the threshold.
    groups : ndarray of str, shape (n,)
        The group of each.
    confidence : float
        Chance that all intervals hold together.
    """
    names, codes = np.unique(groups, return_inverse=True)
    n = np.bincount(codes, minlength=len(names))
    outside = np.bincount(codes[beyond], minlength=len(names))
    tail = (1 - confidence) / 2 / max(len(names), 1)
    found = []
    for name, size, k in zip(names.tolist(), n.tolist(), outside.tolist(), strict=True):
        low = float(beta.ppf(tail, k, size - k + 1)) if k else 0.0
        high = float(beta.ppf(1 - tail, k + 1, size - k)) if k < size else 1.0
        found.append(GroupRate(name, size, k, low, high))
    return sorted(found, key=lambda one: (-one.rate, -one.n, one.name))


class GroupedScores:
    """Calibration scores with the group of each.

    Parameters
    ----------
    scores : ndarray of float64, shape (n,)
        Ascending.
    codes : ndarray of int64, shape (n,)
        Positions in `names`.
    names : sequence of str
        The groups.

    Examples
    --------
    >>> import numpy as np
    >>> scores, codes = np.arange(1.0, 41), np.arange(40) % 2
    >>> grouped = GroupedScores(scores, codes, ["day", "night"])
    >>> grouped.thresholds(0.05)
    {'day': 39.0, 'night': 40.0}
    """

    def __init__(
        self, scores: NDArray[np.float64], codes: NDArray[np.int64], names: Sequence[str]
    ) -> None:
        if len(scores) != len(codes):
            raise DataError(f"There are {len(scores)} calibration scores, but {len(codes)} groups.")
        if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(names):
            raise DataError("A calibration score belongs to a group that has no name.")
        self.scores, self.codes, self.names = scores, codes, tuple(names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of calibration scores of each group."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def own(self, name: str) -> NDArray[np.float64]:
        """Return the scores of a group, ascending."""
        found: NDArray[np.float64] = self.scores[self.codes == self.names.index(name)]
        return found

    def thresholds(self, rate: float) -> dict[str, float]:
        """Return the threshold of each group that has enough scores to promise `rate`."""
        needed = conformal_calibration_size(rate)
        return {
            name: conformal_threshold(self.own(name), rate)
            for name, n in self.sizes.items()
            if n >= needed
        }

    def thresholds_for(
        self, groups: NDArray[np.str_], rate: float, otherwise: float
    ) -> NDArray[np.float64]:
        """Return the threshold for each sample, shape (n,).

        Parameters
        ----------
        groups : ndarray of str, shape (n,)
            The group of each sample.
        rate : float
            False-alarm rate to keep in each group.
        otherwise : float
            The threshold for groups that are unknown or have too few calibration scores.
        """
        known = self.thresholds(rate)
        return np.array([known.get(str(group), otherwise) for group in groups], dtype=np.float64)

    def p_values(
        self, scores: NDArray[np.float64], groups: NDArray[np.str_], rate: float
    ) -> NDArray[np.float64]:
        """Return the conformal p-value of each score within its group.

        Samples of groups that are unknown, or too small to promise `rate`, are compared with all
        calibration scores.
        """
        found = conformal_p_values(self.scores, scores)
        for name in self.thresholds(rate):
            own = groups == name
            found[own] = conformal_p_values(self.own(name), scores[own])
        return found

    def rates(self, threshold: float) -> list[GroupRate]:
        """Return the rate of each group beyond one threshold for all, the highest first."""
        return group_rates(self.scores > threshold, np.asarray(self.names)[self.codes])

    def worst(self, rate: float) -> GroupRate | None:
        """Return the group with the highest rate, where one threshold promises `rate` to all.

        None if there are too few calibration scores for that promise.
        """
        if len(self.scores) < conformal_calibration_size(rate):
            return None
        return self.rates(conformal_threshold(self.scores, rate))[0]

    def sentences(self, rate: float | None, share: float | None, plural: str) -> list[str]:
        """Say which group has the most false alarms, and what can be promised to each.

        Parameters
        ----------
        rate : float or None
            The false-alarm rate that the threshold was made for.
        share : float or None
            Share of the normal samples that were held out; None if each vouches for the threshold.
        plural : str
            What the samples are called.
        """
        said = []
        for shown in sorted({*SHOWN_RATES, *(() if rate is None else (rate,))}):
            worst = self.worst(shown)
            if worst is not None:
                said.append(
                    f"With one threshold for all groups that promises {100 * shown:g} %, the group "
                    f"with the most false alarms is {worst.name}: {worst.words()}."
                )
        for wanted in SHOWN_RATES if rate is None else (rate,):
            said.append(self.promise(wanted, share, plural))
        return said

    def promise(self, rate: float, share: float | None, plural: str) -> str:
        """Say to which groups thresholds of their own promise `rate`; see `sentences`."""
        needed = conformal_calibration_size(rate)
        small = {name: n for name, n in self.sizes.items() if n < needed}
        text = f"{100 * rate:g} %"
        if not small:
            most = "about" if share is None else "on average at most"
            return (
                f"If each is judged by its own group, {most} {text} of the new normal {plural} of "
                "every group are called anomalous."
            )
        named = ", ".join(f"{name} ({n})" for name, n in list(small.items())[:MOST_NAMED])
        named += ", …" if len(small) > MOST_NAMED else ""
        takes = "" if share is None else f", so about {math.ceil(needed / share)} to train on"
        who = "No group" if len(small) == len(self) else "Not every group"
        return (
            f"{who} can be promised {text} by itself: it takes {needed} calibration {plural} of "
            f"the group{takes}, and there are fewer of {named}; these are judged by the threshold "
            "for all."
        )


def group_names(groups: Any, n: int, plural: str = "samples") -> NDArray[np.str_]:
    """Return the group of each sample as text.

    Parameters
    ----------
    groups : array, shape (n,)
        Whole numbers or strings.
    n : int
        Number of samples.
    plural : str
        What the samples are called in messages.

    Raises
    ------
    DataError
        If there is not one whole number or string for each sample.
    """
    names = np.asarray(groups)
    if names.ndim != 1 or names.dtype.kind not in "iubUO":
        raise DataError(
            f"strata holds one whole number or string for each of the {plural}, but got an array "
            f"of {names.dtype} with shape {names.shape}."
        )
    if len(names) != n:
        raise DataError(f"There are {n} {plural}, but {len(names)} groups in strata.")
    return names.astype(str)
