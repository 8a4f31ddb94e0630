"""Which rates few photos can promise, and what reviews say about the rate that was kept."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from insphere.detectors import KNNDetector
from insphere.errors import SpecError
from insphere.scoring.affordable import affordable
from insphere.scoring.reviews import ReviewCounts, share_interval


@pytest.mark.parametrize("n", [*range(1, 130), 146, 147, 296, 297, 600])
def test_every_rate_that_is_offered_can_be_fitted(n):
    for one in affordable(n):
        needed = math.ceil(1 / one.rate) - 1
        assert (one.kind == "promise") == (n // 3 >= needed) == (n >= one.fewest)
        if one.kind == "promise":
            assert needed <= one.held_out == round(one.share * n) <= n / 3


@pytest.mark.parametrize("n", [12, 20, 27, 57, 60, 147])
def test_a_detector_keeps_what_was_offered(n):
    rows = np.random.default_rng(0).normal(size=(n, 4))
    for one in affordable(n):
        if one.kind == "none":
            continue
        detector = KNNDetector(random_state=0, **one.params).fit(rows)
        assert detector.judges
        kind = "held out" if one.kind == "promise" else "left out"
        assert detector.calibration_kind_ == kind
        if one.kind == "promise":
            assert detector.n_calibration_ == one.held_out


def test_few_photos_get_an_estimate_or_nothing():
    assert [one.kind for one in affordable(20)] == ["promise", "none", "estimate", "none", "none"]
    assert [one.kind for one in affordable(9)] == ["none"] * 5


def test_the_interval_of_a_share_is_exact():
    found = share_interval(3, 40)
    assert binom.sf(2, 40, found.low) == pytest.approx(0.05)
    assert binom.cdf(3, 40, found.high) == pytest.approx(0.05)
    assert share_interval(0, 0).value is None
    with pytest.raises(SpecError):
        share_interval(3, 2)


def test_alarms_that_nobody_reviewed_widen_the_interval_upwards_only():
    done = ReviewCounts(right=5, false=4, passed=90, confirmed=6)
    assert done.false_alarms() == share_interval(4, 100)
    assert done.right_alarms() == share_interval(5, 9)
    some = ReviewCounts(right=5, false=4, open=10, passed=90, confirmed=6)
    assert some.false_alarms().low == done.false_alarms().low
    assert some.false_alarms().high == share_interval(14, 110).high
