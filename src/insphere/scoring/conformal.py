"""Which normal images vouch for the threshold: some that are held out, or each in its turn.

*Split*: a part of the images is kept from training. *Cross* (Vovk 2015, "Cross-conformal
predictors"): the images are dealt into parts, and for each part a detector is trained on the
others. A new image is compared with the images of each part by that part's detector. Small sets
are used better, at the price of one more training for each part and slower scoring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from insphere.errors import SpecError
from insphere.scoring.severity import SeverityScale, Tail
from insphere.scoring.thresholds import conformal_calibration_size, false_alarm_interval

Groups = NDArray[np.int64] | None


def is_cross(calibration: Any) -> bool:
    """Whether `calibration` is a number of parts, not a share.

    Raises
    ------
    SpecError
        If it is neither.
    """
    if isinstance(calibration, int | np.integer) and calibration >= 2:
        return True
    if isinstance(calibration, float | np.floating) and 0.0 < calibration < 1.0:
        return False
    raise SpecError(
        "calibration is the share of training images to hold out, between 0 and 1, or a number of "
        f"parts from 2 on that are left out in turn, but got {calibration!r}."
    )


def held_out(
    n: int, false_alarm_rate: float, share: float, random_state: Any, groups: Groups = None
) -> NDArray[np.bool_]:
    """Choose the images to hold out and say early if they are too few.

    Parameters
    ----------
    n : int
        Number of images.
    false_alarm_rate, share : float
        Wanted rate, and share to hold out.
    random_state : int, RandomState or None
        Decides which.
    groups : ndarray of int64, shape (n,), optional
        Images of one group (frames of one track) are held out together or not at all; held out are
        as many groups as come closest to the share.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for those held out; at least two stay.
    """
    needed = conformal_calibration_size(false_alarm_rate)
    size = max(min(round(share * n), n - 2), 0)
    if groups is None:
        mask = np.zeros(n, dtype=bool)
        mask[check_random_state(random_state).permutation(n)[:size]] = True
    else:
        names, sizes = np.unique(groups, return_counts=True)
        order = check_random_state(random_state).permutation(len(names))
        ends = np.cumsum(sizes[order])[:-1]  # at least one group stays
        count = int(np.argmin(np.abs(ends - share * n))) + 1 if len(ends) else 0
        mask = np.isin(groups, names[order[:count]])
        size = int(mask.sum())
    if size < needed or n - size < 2:
        advice = f", or take all {n} in turn with calibration=5" if n >= max(needed, 5) else ""
        raise SpecError(
            f"A false-alarm rate of {false_alarm_rate:g} needs at least {needed} calibration "
            f"images, but calibration={share:g} of {n} holds out only {size}: give more images, "
            f"a larger share or a higher rate{advice}."
        )
    return mask


def deal(
    n: int, false_alarm_rate: float, n_parts: int, random_state: Any, groups: Groups = None
) -> list[NDArray[np.bool_]]:
    """Deal n images, in whole groups, into `n_parts` parts of nearly equal size, as masks.

    Raises
    ------
    SpecError
        If there are too few images for the parts or the rate, or too few groups for the parts.
    """
    needed = max(conformal_calibration_size(false_alarm_rate), int(n_parts), 4)
    if n < needed:
        raise SpecError(
            f"A false-alarm rate of {false_alarm_rate:g} with calibration={n_parts} needs at least "
            f"{needed} images, but there are {n}: give more images or ask for a higher rate."
        )
    unit = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(unit.max()) + 1
    if units < n_parts:
        raise SpecError(
            f"The {n} images form {units} groups, of which none may be split, so calibration="
            f"{n_parts} parts cannot be made: ask for at most {units} parts."
        )
    place = (check_random_state(random_state).permutation(units) % int(n_parts))[unit]
    return [place == part for part in range(int(n_parts))]


def cross_scores(
    scores: Sequence[NDArray[np.float64]], scales: Sequence[SeverityScale]
) -> NDArray[np.float64]:
    """Say by how many of the n training images, each in its turn, an image lies beyond.

    The whole part is that number, so that the conformal p-value against 1, 2, …, n is the
    cross-conformal one. The fraction follows the severities under the parts' detectors; beyond all
    n the score goes on growing with them.

    Parameters
    ----------
    scores : sequence of ndarray, shape (m,)
        Of the same m images, by the detector of each part.
    scales : sequence of SeverityScale
        From the scores that each detector gave to its part.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    n = sum(len(scale.calibration_scores) for scale in scales)
    beyond, chance = np.zeros(len(scores[0])), np.zeros(len(scores[0]))
    for scale, values in zip(scales, scores, strict=True):
        beyond += np.searchsorted(scale.calibration_scores, values, side="left")
        chance += len(scale.calibration_scores) / n * 10.0 ** -scale(values)
    severity = -np.log10(np.maximum(chance, 1e-300))
    fraction = (severity + 1) / (severity + 2)
    excess = np.maximum(severity - math.log10(n + 1), 0) + 1e-3 * fraction
    joined: NDArray[np.float64] = beyond + np.where(beyond == n, excess, fraction)
    return joined


def cross_tail(n: int) -> Tail:
    """Return the tail under which severity goes on as `cross_scores` does beyond all n images."""
    return Tail(start=float(n), share=1 / (n + 1), shape=0.0, scale=1 / math.log(10))


def guarantee(n_calibration: int, false_alarm_rate: float | None, calibration: Any) -> str:
    """Say in a sentence what a threshold promises about new normal images."""
    if not n_calibration or false_alarm_rate is None:
        return (
            "No promise about new images: the threshold rests on the training images themselves; "
            "fit with false_alarm_rate= for one that is kept."
        )
    low, high = false_alarm_interval(n_calibration, false_alarm_rate)
    wanted = f"{100 * false_alarm_rate:g} %"
    if is_cross(calibration):
        return (
            f"About {wanted} of new normal images are called anomalous, and on average never more "
            f"than about {200 * false_alarm_rate:g} %, if they are like the {n_calibration:,} "
            "training images."
        )
    return (
        f"At most {wanted} of new normal images are called anomalous, on average over calibration "
        f"sets, if they are like the {n_calibration:,} held-out ones; for one set the rate lies "
        f"between {100 * low:.1f} and {100 * high:.1f} % in nine of ten cases."
    )


def few_groups(groups: int) -> str:
    """Say in a sentence what a promise is worth if images come in groups."""
    return (
        f"These are from only {groups} groups of images that belong together, such as frames of "
        "one track, so the rate can lie further away."
    )
