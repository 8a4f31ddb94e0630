"""Which normal images vouch for the threshold: some that are held out, or each in its turn.

*Split*: a part of the images is kept from training. *Cross* (Vovk 2015, "Cross-conformal
predictors"): the images are dealt into parts, and for each part a detector is trained on the
others. A new image is compared with the images of each part by that part's detector. Small sets
are used better, at the price of one more training for each part and slower scoring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from insphere.errors import SpecError
from insphere.scoring.severity import SeverityScale, Tail
from insphere.scoring.thresholds import conformal_calibration_size, false_alarm_interval

Groups = NDArray[np.int64] | None

USUAL_RATE, SMALL_RATE = 0.05, 0.1  # false-alarm rates of the default, for many and few images
Kind = Literal["training", "held out", "in turn", "left out", "cross-validated", "none"]
USUAL_SHARE, USUAL_PARTS = 0.2, 5
LARGEST_SHARE = 1 / 3  # that is held out of few images
ENOUGH_TO_HOLD_OUT, ENOUGH, FEW = 95, 20, 10  # normal images


@dataclass(frozen=True)
class Calibration:
    """How a threshold comes about.

    Parameters
    ----------
    kind : {"training", "held out", "in turn", "left out", "cross-validated", "none"}
        From the training images; from a share that is held out; by comparing each image with
        detectors trained without one part each; from scores of training images that the detector
        gives as if each were new; from scores by detectors trained without one part each, in the
        units of the one that is kept; or not at all.
    rate : float or None
        False-alarm rate wanted.
    amount : float or int
        Share held out, or number of parts.
    """

    kind: Kind
    rate: float | None = None
    amount: float = 0.0

    @property
    def trainings(self) -> int:
        """How many detectors are trained."""
        return 1 + int(self.amount) if self.needs_parts else 1

    @property
    def needs_parts(self) -> bool:
        """Whether detectors are trained without one part each."""
        return self.kind in ("in turn", "cross-validated")

    def sentence(self) -> str:
        """Say what will be done, if it takes more than one training; else nothing."""
        if not self.needs_parts:
            return ""
        return (
            f"{self.trainings} trainings: to find a threshold that holds for new samples, one on "
            f"all of them comes after {int(self.amount)}, each without another part of them"
        )


def usual_calibration(
    n: int,
    groups: Groups = None,
    *,
    parts: int = USUAL_PARTS,
    in_turn: bool = True,
    left_out: bool = False,
) -> Calibration:
    """Choose by the number of images, where nothing was asked for.

    From 95 normal images on a fifth is held out for a rate of 5 %; from 20 on the threshold is
    cross-validated, for 5 %, and from 10 on for 10 %; of fewer nothing can be said.

    Parameters
    ----------
    n : int
        Number of normal images.
    groups : ndarray of int64, shape (n,), optional
        Images of one group stay together.
    parts : int
        Number of parts of a cross-validation. The more, the closer the detectors without one are
        to the one on all images.
    in_turn : bool
        Whether the detector can be trained without parts of the images.
    left_out : bool
        Whether it scores its training images as if each were new, at no cost.
    """
    if n >= ENOUGH_TO_HOLD_OUT and _can_hold_out(n, groups):
        return Calibration("held out", USUAL_RATE, USUAL_SHARE)
    rate = USUAL_RATE if n >= ENOUGH else SMALL_RATE
    estimated = _estimated(n, rate, groups, parts, in_turn, left_out) if n >= FEW else None
    return estimated or Calibration("none")


def calibration_for_rate(
    n: int,
    rate: float,
    groups: Groups = None,
    *,
    parts: int = USUAL_PARTS,
    in_turn: bool = True,
    left_out: bool = False,
) -> Calibration:
    """Choose by the number of images, where nothing but a false-alarm rate was asked for.

    A fifth is held out, and up to a third of few images if the rate can be promised then. Where
    that is not enough the rate is estimated, as it is by default for few images (see
    `usual_calibration`), if there are as many images as a promise holds out.

    Parameters
    ----------
    n : int
        Number of normal images.
    rate : float
        False-alarm rate wanted, in (0, 1).
    groups, parts, in_turn, left_out
        As in `usual_calibration`.

    Examples
    --------
    >>> [calibration_for_rate(n, 0.05).kind for n in (600, 60, 20)]
    ['held out', 'held out', 'cross-validated']
    >>> round(60 * calibration_for_rate(60, 0.05).amount)
    19
    """
    needed = conformal_calibration_size(rate)
    if round(USUAL_SHARE * n) < needed <= n:
        if groups is None and needed <= LARGEST_SHARE * n + 1e-9:
            return Calibration("held out", rate, needed / n)
        if estimated := _estimated(n, rate, groups, parts, in_turn, left_out):
            return estimated
    return Calibration("held out", rate, USUAL_SHARE)


def _estimated(
    n: int, rate: float, groups: Groups, parts: int, in_turn: bool, left_out: bool
) -> Calibration | None:
    """Return how a rate is estimated on all images, each scored as if new; None if it cannot be."""
    if left_out and groups is None:
        return Calibration("left out", rate)
    units = n if groups is None else len(np.unique(groups))
    if in_turn and units >= USUAL_PARTS:
        return Calibration("cross-validated", rate, min(parts, units))
    return None


def _can_hold_out(n: int, groups: Groups) -> bool:
    """Whether a fifth of the images, in whole groups whichever they are, is enough to promise."""
    if groups is None:
        return True
    sizes = np.sort(np.unique(groups, return_counts=True)[1])
    fewest = int(np.ceil(USUAL_SHARE * len(sizes)))
    return len(sizes) >= 2 * USUAL_PARTS and int(sizes[:fewest].sum()) >= 19


def no_threshold(n: int) -> str:
    """Say that there is no threshold, and how many images it takes."""
    return (
        f"no threshold: {n} normal images, or the groups that they form, are too few to promise a "
        f"false-alarm rate, which takes at least {FEW} images ({ENOUGH} for 5 %)"
    )


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
    n: int,
    false_alarm_rate: float,
    share: float,
    random_state: Any,
    groups: Groups = None,
    strata: NDArray[Any] | None = None,
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
    strata : ndarray, shape (n,), optional
        The share is held out of each of these, unless `groups` are given.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for those held out; at least two stay.
    """
    needed = conformal_calibration_size(false_alarm_rate)
    size = max(min(round(share * n), n - 2), 0)
    if groups is None:
        order = check_random_state(random_state).permutation(n)
        mask = np.zeros(n, dtype=bool)
        mask[(order if strata is None else _spread(order, strata[order]))[:size]] = True
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


def _spread(order: NDArray[np.int64], strata: NDArray[Any]) -> NDArray[np.int64]:
    """Reorder so that the first so many hold every stratum in its proportion.

    Each sample moves to its rank in its stratum as a share of it; the order within a stratum stays.
    """
    codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)[1:]
    place = np.empty(len(order))
    for code, size in enumerate(sizes):
        place[codes == code] = (np.arange(size) + 0.5) / size
    spread: NDArray[np.int64] = order[np.argsort(place, kind="stable")]
    return spread


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


def in_unit_of(
    scores: NDArray[np.float64], inside: NDArray[np.float64], final: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bring scores by one detector to the unit of another.

    The unit of a distance can grow with the number of training images, for example with the
    dimensions that more of them span. The images that both detectors were trained on tell by how
    much. Of a score as it is and in the other unit the higher is taken, so that an estimate from
    them errs towards fewer false alarms.

    Parameters
    ----------
    scores : ndarray, shape (m,)
        By the first detector.
    inside : ndarray, shape (n,)
        Of the images that both were trained on, by the first detector.
    final : ndarray, shape (n,)
        Of the same n images, by the other detector.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    unit, own = float(np.median(inside)), float(np.median(final))
    if min(inside.min(), final.min(), scores.min()) < 0 or not unit > 0 or not own > 0:
        return np.maximum(scores, scores + own - unit)  # no distances, but the log of something
    return np.maximum(scores, scores * (own / unit))


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
        reference = scale.calibration_scores
        # What is equal but for rounding is not beyond, or an image would count by its batch.
        beyond += np.searchsorted(reference + scale.rounding, values, side="left")
        chance += len(scale.calibration_scores) / n * 10.0 ** -scale(values)
    severity = -np.log10(np.maximum(chance, 1e-300))
    fraction = (severity + 1) / (severity + 2)
    excess = np.maximum(severity - math.log10(n + 1), 0) + 1e-3 * fraction
    joined: NDArray[np.float64] = beyond + np.where(beyond == n, excess, fraction)
    return joined


def cross_tail(n: int) -> Tail:
    """Return the tail under which severity goes on as `cross_scores` does beyond all n images."""
    return Tail(start=float(n), share=1 / (n + 1), shape=0.0, scale=1 / math.log(10))


def guarantee(n_calibration: int, how: Calibration) -> str:
    """Say in a sentence what a threshold promises about new normal images."""
    if how.kind == "none":
        return f"No verdicts: there is {no_threshold(n_calibration)}."
    if not n_calibration or how.rate is None:
        return (
            "No promise about new images: the threshold rests on the training images themselves; "
            "fit with false_alarm_rate= for one that is kept."
        )
    low, high = false_alarm_interval(n_calibration, how.rate)
    wanted = f"{100 * how.rate:g} %"
    if how.kind == "in turn":
        return (
            f"About {wanted} of new normal images are called anomalous, and on average never more "
            f"than about {200 * how.rate:g} %, if they are like the {n_calibration:,} "
            "training images."
        )
    if how.kind == "cross-validated":
        return (
            f"About {wanted} of new normal images are called anomalous, if they are like the "
            f"{n_calibration:,} training images: an estimate from detectors that were each trained "
            "without a part of them, not a promise."
        )
    if how.kind == "left out":
        return (
            f"About {wanted} of new normal images are called anomalous, if they are like the "
            f"{n_calibration:,} training images, each of which was scored without itself."
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
