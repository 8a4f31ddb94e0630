"""Thresholds, p-values and alarms keep their word on real digits, whatever the detector."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from insphere.data.column_scale import ColumnScale
from insphere.detectors import (
    AnoGAN,
    DeepCAE,
    DeepSVDD,
    IsolationForestDetector,
    KDEDetector,
    KNNDetector,
    MahalanobisDetector,
    OCSVMDetector,
    SoftmaxThreshold,
    UntrainedDeepSVDD,
    load_detector,
)
from insphere.errors import DataError, SpecError
from insphere.scoring import (
    alarm_set,
    conformal_p_values,
    conformal_threshold,
    false_alarm_interval,
)
from insphere.scoring.conformal import calibration_for_rate
from insphere.training.callbacks import Callback

RESAMPLINGS = 1000
TRAINED_ON = 300
DETECTORS: dict[str, Any] = {
    "knn": KNNDetector(),
    "kde": KDEDetector(),
    "oc-svm": OCSVMDetector(),
    "isolation-forest": IsolationForestDetector(random_state=0),
    "mahalanobis": MahalanobisDetector(),
    "untrained": UntrainedDeepSVDD(recipe="fast", random_state=0),
    "deep-svdd": DeepSVDD(recipe="fast", epochs=3, pretrain_epochs=3, random_state=0),
    "soft-boundary": DeepSVDD(
        objective="soft-boundary", epochs=3, pretrain_epochs=0, random_state=0
    ),
    "dcae": DeepCAE(epochs=3, random_state=0),
    "anogan": AnoGAN(train_steps=20, search_steps=5, width=8, random_state=0),
    "softmax": SoftmaxThreshold(epochs=3, random_state=0),
}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    images = (data.images * 15.9375).astype(np.uint8)[..., None]
    return images[order], data.target[order]


@pytest.mark.parametrize("name", DETECTORS)
def test_false_alarm_rate_is_kept_over_a_thousand_resamplings(
    name: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    images, target = digits
    fresh = 500 if name == "anogan" else len(images) - TRAINED_ON
    detector = DETECTORS[name].fit(images[:TRAINED_ON], target[:TRAINED_ON])
    scores = detector.anomaly_score(images[TRAINED_ON : TRAINED_ON + fresh])
    rng, half = np.random.default_rng(1), fresh // 2
    rates: dict[float, list[float]] = {0.01: [], 0.05: [], 0.1: []}
    for _ in range(RESAMPLINGS):
        order = rng.permutation(scores)
        p_values = conformal_p_values(order[:half], order[half:])
        for alpha, found in rates.items():
            found.append((p_values <= alpha).mean())
    for alpha, found in rates.items():
        error = np.std(found) / math.sqrt(RESAMPLINGS)
        assert np.mean(found) <= alpha + 3 * error, alpha
        # The guarantee is not bought by silence: what is given away is at most 1 / (n + 1).
        assert np.mean(found) >= alpha - 1 / (half + 1) - 3 * error, alpha


def test_false_discovery_rate_is_kept(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, target = digits
    normals, others = images[target == 3], images[target != 3]
    detector = KNNDetector().fit(normals[:80])
    normal, anomalous = detector.anomaly_score(normals[80:]), detector.anomaly_score(others[:30])
    rng = np.random.default_rng(0)
    shares, caught = [], []
    for _ in range(RESAMPLINGS):
        order = rng.permutation(normal)
        p_values = conformal_p_values(order[:80], np.append(order[80:], anomalous))
        alarms = alarm_set(p_values, 0.1, 80).alarms
        shares.append(alarms[:-30].sum() / max(alarms.sum(), 1))
        caught.append(alarms[-30:].mean())
    assert np.mean(shares) <= 0.1 + 3 * np.std(shares) / math.sqrt(RESAMPLINGS)
    assert np.mean(caught) > 0.5


@pytest.mark.parametrize("detector", [KNNDetector, MahalanobisDetector])
def test_cross_conformal_rate_on_small_sets(
    detector: Any, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    """Sixty images, each left out once, instead of twelve held out."""
    images = digits[0]
    rng = np.random.default_rng(0)
    rates = []
    for seed in range(60):
        order = rng.permutation(len(images))
        fitted = detector(false_alarm_rate=0.1, calibration=5, random_state=seed)
        fitted.fit(images[order[:60]])
        rates.append((fitted.p_value(images[order[60:]]) <= 0.1).mean())
    assert (fitted.n_train_, fitted.n_calibration_) == (60, 60)
    assert fitted.threshold_rule_ == (
        "false-alarm rate about 10 % on normals left out in turn (cross-conformal, n = 60)"
    )
    assert 0.04 < np.mean(rates) < 0.1 + 3 * np.std(rates) / math.sqrt(60)


def test_cross_conformal_p_values_by_hand() -> None:
    rng = np.random.default_rng(0)
    data, new = rng.normal(size=(23, 2)), 2 * rng.normal(size=(40, 2))
    detector = KNNDetector(
        n_neighbors=1, normalize=None, false_alarm_rate=0.2, calibration=4, random_state=0
    ).fit(data)
    place = np.random.RandomState(0).permutation(23) % 4
    count = np.zeros(40)
    for i in range(23):
        others = place != place[i]
        columns = ColumnScale.fitted(data[others])  # each part measures the columns by its own rows
        known, own, unknown = (columns.take(rows) for rows in (data[others], data[i : i + 1], new))
        distance = np.linalg.norm(own[:, None] - known, axis=2)
        to_new = np.linalg.norm(unknown[:, None] - known, axis=2)
        count += distance.min() >= to_new.min(axis=1)
    p_values = detector.p_value(new)
    np.testing.assert_allclose(p_values, (1 + count) / 24)
    np.testing.assert_array_equal(detector.predict(new) == -1, p_values <= 0.2)
    # Beyond all images the score and the severity go on growing.
    far = np.array([[9.0, 0.0], [10.0, 0.0], [30.0, 0.0]])
    assert (np.diff(detector.anomaly_score(far)) > 0).all()
    severity = detector.severity(np.vstack([new, far]))
    order = np.argsort(detector.anomaly_score(np.vstack([new, far])))
    assert (np.diff(severity[order]) >= 0).all()
    assert severity[-3] > math.log10(24)


def test_cross_calibration_survives_saving(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    class Counting(Callback):
        epochs = 0

        def epoch_end(self, record: Any) -> None:
            self.epochs += 1

    follower = Counting()
    detector = DeepSVDD(
        false_alarm_rate=0.1, calibration=3, epochs=2, pretrain_epochs=0, random_state=0,
        callbacks=[follower],
    ).fit(digits[0][:40])  # fmt: skip
    assert follower.epochs == 2  # of the training on all images
    loaded = load_detector(detector.save(tmp_path / "model"))
    for method in ("anomaly_score", "p_value", "severity", "transform", "predict"):
        ours, theirs = (getattr(d, method)(digits[0][:90]) for d in (detector, loaded))
        assert ours.tobytes() == theirs.tobytes()
    again = loaded.save(tmp_path / "again")
    for file in ("weights.safetensors", "detector.json"):
        assert (again / file).read_bytes() == (tmp_path / "model" / file).read_bytes()


scores = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=60)


@given(scores, scores, st.integers(1, 99).map(lambda percent: percent / 100))
def test_threshold_and_p_value_agree(calibration: list, new: list, alpha: float) -> None:
    p_values = conformal_p_values(calibration, new)
    assert ((p_values > 0) & (p_values <= 1)).all()
    if len(calibration) >= math.ceil(1 / alpha - 1e-9) - 1:
        beyond = np.array(new) > conformal_threshold(calibration, alpha)
        np.testing.assert_array_equal(p_values <= alpha + 1e-12, beyond)


def test_p_value_and_verdict_agree(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images = digits[0]
    detector = MahalanobisDetector(false_alarm_rate=0.05, random_state=0).fit(images[:400])
    p_values = detector.p_value(images)
    np.testing.assert_array_equal(detector.predict(images) == -1, p_values <= 0.05)
    assert p_values.min() == 1 / 81
    assert detector.guarantee == (
        "At most 5 % of new normal images are called anomalous, on average over calibration sets, "
        "if they are like the 80 held-out ones; for one set the rate lies between 1.7 and 9.4 % in "
        "nine of ten cases."
    )
    assert "No promise" in MahalanobisDetector(contamination=0.05).fit(images[:50]).guarantee
    assert "never more than about 20 %" in MahalanobisDetector(
        false_alarm_rate=0.1, calibration=2
    ).fit(images[:50]).guarantee  # fmt: skip


def test_interval_of_the_rate_holds_what_simulation_gives() -> None:
    rng = np.random.default_rng(0)
    low, high = false_alarm_interval(50, 0.1)
    thresholds = [conformal_threshold(rng.random(50), 0.1) for _ in range(4000)]
    inside = np.mean([low <= 1 - t <= high for t in thresholds])
    assert inside == pytest.approx(0.9, abs=0.015)


@pytest.mark.parametrize(
    ("settings", "n", "message"),
    [
        (
            {"false_alarm_rate": 0.05, "calibration": 0.2},
            60,
            "holds out only 12: .* or take all 60 in turn",
        ),
        ({"false_alarm_rate": 0.05}, 15, "holds out only 3: give more images, a larger share"),
        ({"false_alarm_rate": 0.05, "calibration": 5}, 15, "needs at least 19 images"),
        ({"false_alarm_rate": 0.1, "calibration": 1.5}, 60, "or a number of parts from 2 on"),
        ({"false_alarm_rate": 0.1, "calibration": 1}, 60, "or a number of parts from 2 on"),
        ({"false_alarm_rate": 0.1, "calibration": True}, 60, "or a number of parts from 2 on"),
    ],
)
def test_too_small_a_calibration_is_one_sentence(settings: dict, n: int, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        KNNDetector(**settings).fit(np.random.default_rng(0).normal(size=(n, 3)))
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    ("detector", "n", "kind", "n_calibration"),
    [
        (KNNDetector, 600, "held out", 120),
        (KNNDetector, 60, "held out", 19),
        (KNNDetector, 20, "left out", 20),
        (KDEDetector, 60, "held out", 19),
        (KDEDetector, 56, "cross-validated", 56),
        (KDEDetector, 20, "cross-validated", 20),
    ],
)
def test_a_rate_alone_takes_what_so_many_images_can_give(
    detector: type, n: int, kind: str, n_calibration: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(n + 4000, 3))
    fitted = detector(false_alarm_rate=0.05, random_state=0).fit(rows[:n])
    assert (fitted.calibration_kind_, fitted.n_calibration_) == (kind, n_calibration)
    assert np.mean(fitted.predict(rows[n:]) == -1) < 0.15
    if kind != "held out":  # as by default, where the rate is the same
        usual = detector(random_state=0).fit(rows[:n])
        assert usual.threshold_ == fitted.threshold_


def test_groups_and_labels_are_kept_in_mind_when_a_rate_is_asked_for() -> None:
    groups = np.repeat(np.arange(10), 4)
    assert calibration_for_rate(40, 0.05, groups).kind == "cross-validated"
    assert calibration_for_rate(60, 0.05, np.repeat(np.arange(10), 6)).kind == "cross-validated"
    assert calibration_for_rate(40, 0.05, in_turn=False).kind == "held out"  # which is refused
    assert calibration_for_rate(40, 0.01).kind == "held out"


def test_supervised_detector_takes_no_parts(digits: tuple[np.ndarray, np.ndarray]) -> None:
    detector = SoftmaxThreshold(false_alarm_rate=0.1, calibration=5)
    with pytest.raises(SpecError, match="give calibration as a share"):
        detector.fit(digits[0][:100], digits[1][:100])


def test_alarm_set_by_hand() -> None:
    # Sorted: 0.01 ≤ 1·q/5, 0.02 ≤ 2·q/5, 0.07 > 3·q/5 for q = 0.1.
    found = alarm_set([0.02, 0.5, 0.01, 0.07, 0.9], 0.1, n_calibration=99)
    assert found.alarms.tolist() == [True, False, True, False, False]
    np.testing.assert_allclose(found.adjusted[[2, 0]], 0.05)
    assert found.sentence() == (
        "2 of 5 images are alarms of which on average at most 10 % are false (Benjamini–Hochberg, "
        "99 calibration images)."
    )
    none = alarm_set(np.full(40, 0.5), 0.1, n_calibration=99)
    assert none.least == 4
    assert none.sentence() == (
        "No alarms: with 99 calibration images, at least 4 of 40 images must stand out beyond all "
        "of them for a false-discovery rate of 10 %; 399 calibration images would let a single "
        "one count."
    )
    one = alarm_set([1 / 400, *[0.5] * 39], 0.1, n_calibration=399)
    assert one.alarms.sum() == 1
    assert alarm_set([0.5], 0.1, 99).sentence().startswith("No alarms: no set of the 1 images")


def test_alarm_sets_refuse_what_cannot_be() -> None:
    with pytest.raises(SpecError, match="needs at least 9 calibration images, but there are 5"):
        alarm_set([0.5, 0.2], 0.1, n_calibration=5)
    with pytest.raises(SpecError, match="between 0 and 1, but got 0"):
        alarm_set([0.5], 0, n_calibration=5)
    for wrong in ([], [0.0], [1.5], [math.nan]):
        with pytest.raises(DataError):
            alarm_set(wrong, 0.1, n_calibration=99)
    with pytest.raises(DataError, match="at least one held-out"):
        conformal_p_values([], [1.0])
    with pytest.raises(DataError, match="NaN"):
        conformal_p_values([1.0], [math.nan])
