"""A combination of methods: its scores are mean severities, and it is saved whole."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from insphere.detectors import Combination, load_detector
from insphere.detectors.combined.look_alikes import look_alikes
from insphere.errors import DataError, SpecError


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    loaded = load_digits()
    return (loaded.images * 15.9).astype(np.uint8)[..., None], loaded.target


@pytest.fixture(scope="module")
def fitted(digits) -> Combination:
    images, labels = digits
    members = ["mahalanobis", {"method": "knn", "params": {"n_neighbors": 3}}]
    return Combination(members=members, look_alikes=False, contamination=0.05, random_state=0).fit(
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


def exposures(images: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n noisy copies of each image, at different brightness."""
    copies = np.repeat(images, n, axis=0) * rng.uniform(0.7, 1, (n * len(images), 1, 1, 1))
    return np.clip(copies + rng.normal(0, 8, copies.shape), 0, 255).astype(np.uint8)


def test_images_that_resemble_one_another_stay_together(digits) -> None:
    rng = np.random.default_rng(0)
    parts = digits[0][rng.permutation(len(digits[0]))[:12]]
    images = exposures(parts, 8, rng)
    part = np.repeat(np.arange(12), 8)
    order = rng.permutation(96)
    images, part = images[order], part[order]
    groups = look_alikes(images, 0)
    assert groups is not None
    for one in range(12):
        assert len(np.unique(groups[part == one])) == 1
    fewer = look_alikes(images[:49], 0)
    assert fewer is None


def test_a_member_that_remembers_its_images_does_not_outweigh_the_others(digits) -> None:
    rng = np.random.default_rng(0)
    own = digits[0][digits[1] == 8]
    images, new = exposures(own[:30], 6, rng), exposures(own[60:120], 1, rng)
    members = [{"method": "knn", "params": {"n_neighbors": 1}}, "mahalanobis"]
    highest = {}
    for apart in (False, True):
        detector = Combination(
            members=members, look_alikes=apart, contamination=0.05, random_state=0
        ).fit(images)
        nearest = detector._scales[0](detector.members_[0].anomaly_score(new))
        highest[apart] = float(np.median(nearest))
    # Copies of what it knows make new digits look as rare as one in 10^20.
    assert highest[False] > 15
    assert highest[True] < 5


def test_mistakes_are_said(digits) -> None:
    images = digits[0][:30]
    with pytest.raises(SpecError, match="at least two methods"):
        Combination(members=["knn"]).fit(images)
    with pytest.raises(SpecError, match="cannot be a member"):
        Combination(members=["knn", "softmax"]).fit(images)
    with pytest.raises(SpecError, match="is the name of a method"):
        Combination(members=["knn", {"name": "knn"}]).fit(images)


# ---------------------------------------------------------------- several normal classes


@pytest.fixture(scope="module")
def several(digits) -> tuple[Combination, np.ndarray, np.ndarray]:
    images, labels = digits
    known = np.concatenate([np.flatnonzero(labels == digit)[:80] for digit in (0, 1, 4)])
    later = np.concatenate([np.flatnonzero(labels == digit)[80:120] for digit in (0, 1, 4, 7)])
    names = np.array(["zero", "one", "", "", "four"])[labels[known]]
    detector = Combination(contamination=0.05, random_state=0).fit(images[known], names)
    return detector, images[later], labels[later]


def test_members_get_the_classes_and_the_smallest_score_by_class_is_the_score(several) -> None:
    detector, new, its = several
    assert detector.classes_ == ["four", "one", "zero"]
    assert all(member.classes_ == detector.classes_ for member in detector.members_)
    by_class = detector.class_scores(new)
    np.testing.assert_allclose(by_class.min(axis=1), detector.anomaly_score(new))
    named = detector.predict_class(new)
    wanted = np.array(["zero", "one", "", "", "four", "", "", "seven"])[its]
    assert (named == wanted)[its != 7].mean() > 0.9
    assert roc_auc_score(its == 7, detector.anomaly_score(new)) > 0.9


def test_with_classes_it_is_the_same_after_saving(several, tmp_path) -> None:
    detector, new, _ = several
    loaded = load_detector(detector.save(tmp_path / "model"))
    assert loaded.classes_ == detector.classes_
    assert loaded.class_scores(new).tobytes() == detector.class_scores(new).tobytes()


def test_a_network_with_a_sphere_for_each_class_can_be_a_member(digits) -> None:
    images, labels = digits
    known = np.concatenate([np.flatnonzero(labels == digit)[:40] for digit in (0, 1)])
    brief = {"method": "deep-svdd", "params": {"epochs": 1, "pretrain_epochs": 1}}
    detector = Combination(members=["knn", brief], contamination=0.05, random_state=0)
    by_class = detector.fit(images[known], labels[known]).class_scores(images[:50])
    np.testing.assert_allclose(by_class.min(axis=1), detector.anomaly_score(images[:50]))


def test_a_fifth_of_each_class_calibrates(digits) -> None:
    images, labels = digits
    known = np.concatenate([np.flatnonzero(labels == 0)[:100], np.flatnonzero(labels == 1)[:10]])
    detector = Combination(look_alikes=False, contamination=0.05, random_state=0)
    detector.fit(images[known], labels[known])
    sizes = [member.n_train_ for member in detector.members_[0].members_]
    assert [member.n_train_ for member in detector.members_] == [88, 88], sizes


def test_what_it_refuses_with_classes(digits, several) -> None:
    images, labels = digits
    with pytest.raises(SpecError, match="kde cannot"):
        Combination(members=["knn", "kde"]).fit(images[:60], labels[:60])
    with pytest.raises(DataError, match="9 has one"):
        Combination().fit(images[:60], [*[0] * 59, 9])
    groups = np.repeat([0, 1, 2], 20)
    with pytest.raises(DataError, match="are 0 of a class"):
        Combination(contamination=0.05, random_state=0).fit(images[:60], groups, groups=groups)
    plain = Combination().fit(images[labels == 3][:60])
    with pytest.raises(SpecError, match="knows one normal class"):
        plain.class_scores(images[:3])
