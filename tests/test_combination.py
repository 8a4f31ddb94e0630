"""A combination of methods: its scores are mean severities, and it is saved whole."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from insphere.detectors import Combination, load_detector
from insphere.errors import SpecError


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    loaded = load_digits()
    return (loaded.images * 15.9).astype(np.uint8)[..., None], loaded.target


@pytest.fixture(scope="module")
def fitted(digits) -> Combination:
    images, labels = digits
    members = ["mahalanobis", {"method": "knn", "params": {"n_neighbors": 3}}]
    return Combination(members=members, contamination=0.05, random_state=0).fit(
        images[labels == 3][:120]
    )


def test_the_score_is_the_mean_severity_of_the_members(fitted, digits) -> None:
    some = digits[0][:50]
    severities = [
        scale(member.anomaly_score(some))
        for member, scale in zip(fitted.members_, fitted._scales, strict=True)
    ]
    np.testing.assert_allclose(fitted.anomaly_score(some), np.mean(severities, axis=0))
    assert fitted.members_[1].n_neighbors == 3
    assert [member.n_train_ for member in fitted.members_] == [96, 96]
    assert all(len(scale.calibration_scores) == 24 for scale in fitted._scales)


def test_it_finds_anomalies_and_has_a_map(fitted, digits) -> None:
    images, labels = digits
    test = np.concatenate([images[labels == 3][120:], images[labels == 8][:60]])
    truth = np.repeat([0, 1], [len(test) - 60, 60])
    assert roc_auc_score(truth, fitted.anomaly_score(test)) > 0.9
    maps = fitted.anomaly_map(test[:5])
    assert maps.shape == (5, 8, 8)
    assert maps.min() >= 0


def test_it_is_the_same_after_saving(fitted, digits, tmp_path) -> None:
    images = digits[0][:40]
    fitted.save(tmp_path / "model")
    again = load_detector(tmp_path / "model")
    np.testing.assert_array_equal(again.anomaly_score(images), fitted.anomaly_score(images))
    np.testing.assert_array_equal(again.anomaly_map(images), fitted.anomaly_map(images))


def test_images_of_a_group_calibrate_together(digits) -> None:
    images, groups = digits[0][:60], np.repeat(np.arange(12), 5)
    one = Combination(random_state=1).fit(images, groups=groups)
    assert one.members_[0].n_train_ % 5 == 0
    assert one.members_[0].n_train_ < 60


def test_mistakes_are_said(digits) -> None:
    images = digits[0][:30]
    with pytest.raises(SpecError, match="at least two methods"):
        Combination(members=["knn"]).fit(images)
    with pytest.raises(SpecError, match="cannot be a member"):
        Combination(members=["knn", "softmax"]).fit(images)
    with pytest.raises(SpecError, match="is the name of a method"):
        Combination(members=["knn", {"name": "knn"}]).fit(images)
