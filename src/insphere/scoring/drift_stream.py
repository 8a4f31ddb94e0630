"""The drift martingale of scores that come in one after the other, in bounded memory."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from insphere.errors import DataError
from insphere.scoring.drift import BETS, JUMP

WINDOW = 20_000


class DriftStream:
    """The evidence of `insphere.scoring.drift` against a stream of scores.

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Anomaly scores of normal samples that the detector was not trained on.
    window : int
        Scores after which a new martingale starts, so that memory and time for each score stay
        bounded.
    random_state : int
        Breaks ties between scores.

    Attributes
    ----------
    log10_capital : float
        Decimal logarithm of the gambler's capital since the window began: 2 is a warning that is
        false in at most one of 100 windows.
    highest : float
        The highest that it has been in this window.
    count : int
        Scores in this window.

    Raises
    ------
    DataError
        If there are no calibration scores.
    """

    def __init__(
        self, calibration_scores: ArrayLike, window: int = WINDOW, random_state: int = 0
    ) -> None:
        self._reference = sorted(np.asarray(calibration_scores, dtype=np.float64).tolist())
        if not self._reference:
            raise DataError("Drift needs at least one calibration score.")
        self._window, self._seed = window, random_state
        self._start()

    def _start(self) -> None:
        self._seen = list(self._reference)
        self._chance = np.random.default_rng(self._seed)
        self._parts = [1 / len(BETS)] * len(BETS)
        self.log10_capital, self.highest, self.count = 0.0, 0.0, 0

    def add(self, scores: Iterable[float]) -> float:
        """Take in scores, the oldest first, and return `log10_capital` after them."""
        for score in scores:
            if not math.isfinite(score):
                continue
            if self.count >= self._window:
                self._start()
            above = len(self._seen) - bisect_right(self._seen, score)
            equal = len(self._seen) - above - bisect_left(self._seen, score)
            p = (above + self._chance.random() * (equal + 1)) / (len(self._seen) + 1)
            insort(self._seen, score)
            parts = [
                ((1 - JUMP) * part + JUMP / len(BETS)) * (1 + bet * (p - 0.5))
                for part, bet in zip(self._parts, BETS, strict=True)
            ]
            total = sum(parts)
            self.log10_capital += math.log10(total)
            self._parts = [part / total for part in parts]
            self.highest = max(self.highest, self.log10_capital)
            self.count += 1
        return self.log10_capital
