"""Drift: few false warnings whatever happens, and a warning soon after something changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.datasets import load_digits

from insphere.detectors import MahalanobisDetector
from insphere.errors import DataError, SpecError
from insphere.scoring import detect_drift
from insphere.scoring.drift import sequential_p_values, simple_jumper


def test_false_warnings_are_rare_on_real_digits() -> None:
    data = load_digits()
    images = (data.images * 15.9375).astype(np.uint8)[..., None]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images))
    scores = (
        MahalanobisDetector(contamination=0.05)
        .fit(images[order[:300]])
        .anomaly_score(images[order[300:]])
    )
    warned = []
    for _ in range(1000):
        drawn = rng.permutation(scores)[:400]
        warned.append(detect_drift(drawn[:100], drawn[100:], false_warning_rate=0.1).warned)
    assert np.mean(warned) <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 1000)


def test_rotated_digits_are_noticed() -> None:
    data = load_digits()
    normals = (data.images[data.target == 2] * 15.9375).astype(np.uint8)[..., None]
    detector = MahalanobisDetector(false_alarm_rate=0.1, calibration=0.4, random_state=0)
    detector.fit(normals[:120])
    calm = detector.anomaly_score(normals[120:])
    changed = detector.anomaly_score(np.rot90(normals[:60], axes=(1, 2)))
    drift = detect_drift(detector.calibration_scores_, np.append(calm, changed))
    assert drift.first_warning is not None
    assert len(calm) < drift.first_warning < len(calm) + 40
    assert drift.higher
    assert drift.log10_capital[drift.first_warning] >= drift.warning_level == math.log10(200)
    assert drift.sentence().startswith("Drift: scores are higher than those of the calibration")
    assert f"image {drift.first_warning + 1} of" in drift.sentence()
    quiet = detect_drift(detector.calibration_scores_, calm)
    assert not quiet.warned
    assert quiet.sentence().startswith("No drift: the 57 scores look like")


def test_lower_scores_are_drift_too() -> None:
    rng = np.random.default_rng(0)
    drift = detect_drift(rng.normal(size=200), rng.normal(size=100) - 2)
    assert drift.warned
    assert not drift.higher
    assert "are lower than" in drift.sentence()


def test_sequential_p_values_are_uniform_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, size=4000).astype(float)
    p_values = sequential_p_values(scores[:1000], scores[1000:])
    assert kstest(p_values, "uniform").pvalue > 0.01
    # By hand: 3 of 4 seen lie above 1, one is equal; then 9 lies above all five.
    chance = np.random.default_rng(0).random(2)
    found = sequential_p_values([1.0, 2.0, 3.0, 4.0], [1.0, 9.0])
    np.testing.assert_allclose(found, [(3 + 2 * chance[0]) / 5, chance[1] / 6])


def test_martingale_by_hand() -> None:
    # From 1/3 each: 1.5, 1 and 0.5 times, so still 1; the next bet starts from those parts.
    first, second = 10 ** simple_jumper([0.0, 0.0])
    assert first == pytest.approx(1.0)
    parts = 0.99 * np.array([1.5, 1.0, 0.5]) / 3 + 0.01 / 3
    assert second == pytest.approx((parts * [1.5, 1.0, 0.5]).sum())


def test_capital_stays_finite() -> None:
    capital = simple_jumper(np.zeros(20_000))
    assert np.isfinite(capital).all()
    assert capital[-1] > 3000
    assert np.isfinite(simple_jumper(np.full(20_000, 0.5))).all()


def test_wrong_questions_are_one_sentence() -> None:
    for rate in (0, 1, True, math.nan):
        with pytest.raises(SpecError, match="between 0 and 1"):
            detect_drift([1.0], [1.0], false_warning_rate=rate)
    with pytest.raises(DataError, match="one calibration score"):
        detect_drift([], [1.0])
    with pytest.raises(DataError, match="one incoming score"):
        detect_drift([1.0], [math.inf])
