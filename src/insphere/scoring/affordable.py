"""Which false-alarm rates a number of normal images can promise, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from insphere.scoring.conformal import (
    ENOUGH,
    ENOUGH_TO_HOLD_OUT,
    FEW,
    LARGEST_SHARE,
    SMALL_RATE,
    USUAL_RATE,
    USUAL_SHARE,
)
from insphere.scoring.thresholds import conformal_calibration_size

RATES = (0.2, 0.1, 0.05, 0.02, 0.01)
"""Rates that are offered."""


@dataclass(frozen=True)
class Affordable:
    """One false-alarm rate, and what a number of normal images can say about it.

    Parameters
    ----------
    rate : float
        Wanted chance that a new normal image is called anomalous.
    kind : {"promise", "estimate", "none"}
        "promise": from images that are held out; "estimate": from images that were trained on in
        part; "none": there are too few images.
    held_out : int
        Images that are held out for it; 0 for an estimate.
    share : float
        The same as a share of all images, for the parameter `calibration`.
    fewest : int
        Images from which on the rate can be promised.
    """

    rate: float
    kind: Literal["promise", "estimate", "none"]
    held_out: int
    share: float
    fewest: int

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of a detector that ask for it; of an estimate none, as by default."""
        if self.kind != "promise":
            return {}
        return {"false_alarm_rate": self.rate, "calibration": self.share}


def affordable(n: int, rates: tuple[float, ...] = RATES) -> list[Affordable]:
    """Say for each rate what n normal images can promise.

    A rate α takes ⌈1/α⌉ - 1 held-out images (`conformal_calibration_size`). A fifth is held
    out, and up to a third of few images. Where that is not enough, the rate that a detector
    estimates by default is offered as an estimate (see
    `insphere.scoring.conformal.usual_calibration`).

    Parameters
    ----------
    n : int
        Number of normal images.
    rates : tuple of float
        In (0, 1).

    Examples
    --------
    >>> [(one.rate, one.kind) for one in affordable(40)][:3]
    [(0.2, 'promise'), (0.1, 'promise'), (0.05, 'estimate')]
    >>> affordable(300)[2].held_out, affordable(60)[2].held_out
    (60, 19)
    """
    usual = USUAL_RATE if n >= ENOUGH else SMALL_RATE if n >= FEW else None
    found = []
    for rate in rates:
        needed = conformal_calibration_size(rate)
        fewest = next(m for m in range(needed, 4 * needed + 9) if _most(m) >= needed)
        if n >= fewest:
            held = min(max(round(USUAL_SHARE * n), needed), _most(n))
            found.append(Affordable(rate, "promise", held, held / n, fewest))
        elif rate == usual and n < ENOUGH_TO_HOLD_OUT:
            found.append(Affordable(rate, "estimate", 0, 0.0, fewest))
        else:
            found.append(Affordable(rate, "none", 0, 0.0, fewest))
    return found


def _most(n: int) -> int:
    return math.floor(LARGEST_SHARE * n + 1e-9)
