"""Severity: label-free, monotone in the score, and on one scale for all detectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from insphere.detectors import KNNDetector, MahalanobisDetector
from insphere.errors import DataError
from insphere.scoring import SeverityScale, Tail, conformal_p_values, fit_tail, severity_step

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(numbers, min_size=1, max_size=80), st.lists(numbers, min_size=2, max_size=30))
@example([0.0, 1.0, 1.0], [0.0, 4.479399352100995e-265])
def test_severity_is_monotone_and_finite(calibration: list, new: list) -> None:
    severity = SeverityScale(calibration)(np.sort(new))
    assert np.isfinite(severity).all()
    assert (severity >= 0).all()
    assert (np.diff(severity) >= 0).all()


@given(st.lists(numbers, min_size=1, max_size=80))
def test_severity_follows_the_p_value_where_the_calibration_reaches(calibration: list) -> None:
    expected = -np.log10(conformal_p_values(calibration, calibration))
    found = SeverityScale(calibration)(calibration)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_severity_keeps_growing_beyond_the_calibration() -> None:
    scores = np.random.default_rng(0).exponential(size=500)
    scale = SeverityScale(scores)
    assert scale.resolution == pytest.approx(math.log10(501))
    far = scale(np.linspace(scores.max(), 100 * scores.max(), 50))
    assert (np.diff(far) > 0).all()
    assert far[0] == pytest.approx(scale.resolution, abs=0.6)
    # An exponential tail is −log10 exp(−x) = 0.434 x, known by hand.
    assert scale([10.0])[0] == pytest.approx(10 / math.log(10), rel=0.4)


def test_tail_is_found_again() -> None:
    rng = np.random.default_rng(0)
    heavy = fit_tail(rng.pareto(2.0, size=20_000))
    assert heavy.shape == pytest.approx(0.5, abs=0.1)
    assert heavy.share == pytest.approx(0.1, abs=0.001)
    bounded = fit_tail(rng.random(20_000))  # its likelihood prefers an end, which is refused
    assert bounded.shape == 0
    assert bounded.scale == pytest.approx(0.05, rel=0.05)
    few = fit_tail(np.arange(20.0))
    assert few == Tail(start=9.0, share=11 / 21, shape=0.0, scale=5.5)


def test_scale_of_the_scores_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    scores, new = rng.gamma(2.0, size=400), rng.gamma(2.0, size=100) * 3
    np.testing.assert_allclose(
        SeverityScale(scores)(new), SeverityScale(1e-6 * scores + 7)(1e-6 * new + 7), rtol=1e-3
    )


@pytest.mark.parametrize("scores", [[2.0], [2.0] * 50, [1.0, 2.0], [0.0, 0.0, 0.0]])
def test_scores_without_spread(scores: list[float]) -> None:
    scale = SeverityScale(scores)
    below, above = scale([-1.0, 3.0])
    assert below == 0
    assert math.log10(len(scores) + 1) <= above < math.inf


def test_severity_of_detectors_on_digits_is_comparable() -> None:
    data = load_digits()
    images = (data.images * 15.9375).astype(np.uint8)[..., None]
    normals, others = images[data.target == 0], images[data.target != 0]
    ranks = []
    for detector in (KNNDetector, MahalanobisDetector):
        fitted = detector(false_alarm_rate=0.1, calibration=0.5, random_state=0).fit(normals)
        held_out = fitted.severity_scale(fitted.calibration_scores_)
        # One normal image in ten lies at 1 or above, on every scale.
        assert (held_out >= 1).mean() == pytest.approx(0.1, abs=0.03)
        severity = fitted.severity(others)
        order = np.argsort(fitted.anomaly_score(others), kind="stable")
        assert (np.diff(severity[order]) >= 0).all()
        assert np.median(severity) > 3
        ranks.append(severity)
    assert np.corrcoef(ranks)[0, 1] > 0.3


def test_named_steps() -> None:
    names = [severity_step(s) for s in (0.0, 0.99, 1.0, 2.0, 3.0, 5.99, 6.0, 80.0, math.inf)]
    assert names == [
        "usual", "usual", "unusual", "suspect", "severe", "severe", "extreme", "extreme", "extreme",
    ]  # fmt: skip
    with pytest.raises(DataError):
        severity_step(math.nan)


def test_wrong_scores_are_refused() -> None:
    for wrong in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(DataError, match="at least one calibration score"):
            fit_tail(wrong)


@settings(max_examples=200)
@given(
    calibration=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=400),
    extra=st.lists(st.floats(-2e6, 2e6, width=32), max_size=20),
)
def test_severity_and_p_value_say_the_same_within_the_sample(calibration, extra):
    """Within the calibration sample ranks rule, at every number of images."""
    reference = np.sort(calibration)
    n = len(reference)
    scores = np.sort(np.concatenate([reference, extra]))
    p, severity = conformal_p_values(reference, scores), SeverityScale(reference)(scores)
    inside = scores <= reference[-1]
    assert (severity[inside] <= -np.log10(p[inside]) + 1e-9).all()
    assert (severity[scores < reference[0]] == 0).all()
    beyond = scores > reference[-1] + 2e-6 * np.ptp(reference)
    assert (severity[beyond] >= np.log10(n + 1) - 1e-9).all()
    assert (np.diff(severity) >= -1e-9).all()


def test_a_long_tail_makes_no_normal_image_severe():
    """What happened: 12 calibration scores, of which one is large, and p = 2/13 beside severe."""
    reference = np.array([0.010, 0.011, 0.012, 0.013, 0.013, 0.014, 0.014, 0.015, 0.015, 0.016, 0.2,
                          0.9])  # fmt: skip
    scores = np.array([0.5, 0.9])
    assert conformal_p_values(reference, scores).tolist() == pytest.approx([2 / 13, 2 / 13])
    assert SeverityScale(reference)(scores).max() == pytest.approx(np.log10(13 / 2))
