"""What every detector inherits, shown on the smallest one: the distance to the mean image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from insphere.data import ImageSet
from insphere.data.column_scale import ColumnScale
from insphere.detectors.base.estimator import OneClassDetector, batches
from insphere.errors import DataError, SpecError


class MeanDistance(OneClassDetector):
    def __init__(
        self,
        *,
        contamination: float = 0.05,
        false_alarm_rate: float | None = None,
        calibration: float = 0.2,
        random_state: Any = None,
    ) -> None:
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.random_state = random_state

    def _fit(self, X: np.ndarray) -> None:
        assert X.ndim == (2 if self.image_shape_ is None else 4)
        self.center_ = X.mean(axis=0, dtype=np.float64)

    def _anomaly_score(self, X: np.ndarray) -> np.ndarray:
        return np.linalg.norm((X - self.center_).reshape(len(X), -1), axis=1)

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"center_": self.center_}, {}

    def _set_state(self, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
        self.center_ = arrays["center_"]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (200, 6, 5, 1), dtype=np.uint8)


@parametrize_with_checks([MeanDistance()])
def test_scikit_learn_contract(estimator: MeanDistance, check: Any) -> None:
    check(estimator)


def test_signs_and_scales_agree(images: np.ndarray) -> None:
    detector = MeanDistance(contamination=0.1).fit(images)
    score = detector.anomaly_score(images)
    assert score.dtype == np.float64
    np.testing.assert_array_equal(detector.score_samples(images), -score)
    np.testing.assert_array_equal(detector.decision_function(images), -score - detector.offset_)
    verdict = detector.predict(images)
    np.testing.assert_array_equal(verdict == -1, score > detector.threshold_)
    assert (verdict == -1).sum() == 20
    assert detector.offset_ == -detector.threshold_
    z = detector.z_score(images)
    assert abs(z.mean()) < 1e-12
    assert abs(z.std() - 1) < 1e-12
    assert detector.n_train_ == 200
    assert detector.n_calibration_ == 0
    assert detector.calibration_scores_.shape == (0,)
    assert detector.image_shape_ == (6, 5, 1)
    assert detector.threshold_rule_ == "at most 10 % of the training normals lie outside"


def test_calibration_is_held_out_and_the_false_alarm_rate_is_kept() -> None:
    rng = np.random.default_rng(0)
    rates = []
    for seed in range(200):
        data = rng.normal(size=(120, 3))
        detector = MeanDistance(false_alarm_rate=0.1, calibration=0.25, random_state=seed).fit(data)
        rates.append((detector.predict(rng.normal(size=(200, 3))) == -1).mean())
    assert (detector.n_train_, detector.n_calibration_) == (90, 30)
    assert len(detector.calibration_scores_) == 30
    assert (np.diff(detector.calibration_scores_) >= 0).all()
    # ⌈31 · 0.9⌉ = 28th of 30
    assert detector.threshold_ == detector.calibration_scores_[27]
    assert detector.score_mean_ == pytest.approx(detector.calibration_scores_.mean())
    assert detector.threshold_rule_ == (
        "false-alarm rate ≤ 10 % on held-out normals (conformal, n = 30)"
    )
    assert np.mean(rates) == pytest.approx(3 / 31, abs=0.015)


def test_calibration_images_are_not_trained_on() -> None:
    data = np.random.default_rng(0).normal(size=(50, 2))
    detector = MeanDistance(false_alarm_rate=0.1, calibration=0.4, random_state=3).fit(data)
    scores = detector.anomaly_score(data)
    held_out = np.isin(scores, detector.calibration_scores_)
    assert held_out.sum() == 20
    columns = ColumnScale.fitted(data[~held_out])
    assert detector.column_scale_ is not None
    np.testing.assert_allclose(detector.column_scale_.center, columns.center)
    expected = columns.take(data[~held_out]).mean(axis=0)
    np.testing.assert_allclose(detector.center_, expected, atol=1e-12)


def test_same_seed_same_fit_and_parameters_stay_as_given(images: np.ndarray) -> None:
    def fitted(seed: Any) -> MeanDistance:
        return MeanDistance(false_alarm_rate=0.05, random_state=seed).fit(images)

    first, second, other = fitted(1), fitted(1), fitted(2)
    np.testing.assert_array_equal(first.calibration_scores_, second.calibration_scores_)
    assert first.threshold_ == second.threshold_
    assert not np.array_equal(first.calibration_scores_, other.calibration_scores_)
    again = first.fit(images)
    np.testing.assert_array_equal(again.calibration_scores_, second.calibration_scores_)
    generator = np.random.RandomState(0)
    assert fitted(generator).random_state is generator
    assert first.get_params() == {
        "contamination": 0.05,
        "false_alarm_rate": 0.05,
        "calibration": 0.2,
        "random_state": 1,
    }


def test_labels_are_never_looked_at(images: np.ndarray) -> None:
    with_labels = MeanDistance().fit(images, np.arange(200) % 2)
    np.testing.assert_array_equal(with_labels.center_, MeanDistance().fit(images).center_)


def test_every_form_of_input_gives_the_same_scores(images: np.ndarray, tmp_path: Path) -> None:
    expected = MeanDistance().fit(images).anomaly_score(images)
    grey = images[..., 0]
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    image_set = ImageSet(images, np.zeros(200, dtype=np.int64), ("normal",))
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    for form in (grey, tensor, image_set, mapped, list(grey)):
        detector = MeanDistance().fit(form)
        assert detector.image_shape_ == (6, 5, 1)
        np.testing.assert_array_equal(detector.anomaly_score(form), expected)


def test_data_fingerprint_depends_on_the_data_alone(images: np.ndarray) -> None:
    first = MeanDistance().fit(images).data_fingerprint_
    assert first == MeanDistance(false_alarm_rate=0.1).fit(images[..., 0]).data_fingerprint_
    changed = images.copy()
    changed[17, 3, 2, 0] ^= 1
    assert first != MeanDistance().fit(changed).data_fingerprint_
    assert len(first) == 64


def test_works_in_pipeline_clone_and_grid_search() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(60, 4))
    pipeline = make_pipeline(StandardScaler(), MeanDistance())
    assert set(pipeline.fit(data).predict(data)) == {-1, 1}
    assert clone(MeanDistance(contamination=0.2)).contamination == 0.2

    def share_accepted(detector: MeanDistance, X: np.ndarray, y: None = None) -> float:
        return float((detector.predict(X) == 1).mean())

    search = GridSearchCV(
        MeanDistance(), {"contamination": [0.1, 0.4]}, cv=3, scoring=share_accepted
    )
    assert search.fit(data).best_params_ == {"contamination": 0.1}


def test_refitting_on_a_table_then_images_leaves_nothing_behind(images: np.ndarray) -> None:
    detector = MeanDistance().fit(np.random.default_rng(0).normal(size=(20, 4)))
    assert detector.n_features_in_ == 4
    assert detector.image_shape_ is None
    detector.fit(images)
    assert not hasattr(detector, "n_features_in_")
    detector.anomaly_score(images)


# ------------------------------------------------------------------ refusals


def test_not_fitted(images: np.ndarray) -> None:
    for method in ("anomaly_score", "score_samples", "decision_function", "predict", "z_score"):
        with pytest.raises(NotFittedError):
            getattr(MeanDistance(), method)(images)
    with pytest.raises(NotFittedError):
        MeanDistance().save("anywhere")


def test_images_of_another_shape(images: np.ndarray) -> None:
    detector = MeanDistance().fit(images)
    with pytest.raises(DataError, match="trained on images of 6×5×1, but these are 5×6×1"):
        detector.anomaly_score(images.transpose(0, 2, 1, 3))
    with pytest.raises(DataError, match="but these are 6×5×3"):
        detector.predict(np.repeat(images, 3, axis=3))
    with pytest.raises(DataError, match="but got a table"):
        detector.predict(images.reshape(200, 30))
    table = MeanDistance().fit(images.reshape(200, 30))
    with pytest.raises(DataError, match="trained on a table, but got images"):
        table.predict(images)


def test_pixels_on_another_scale(images: np.ndarray) -> None:
    detector = MeanDistance().fit(images)
    detector.anomaly_score(images / 255.0)
    with pytest.raises(DataError, match="floats must lie between 0 and 1"):
        detector.anomaly_score(images.astype(np.float32))
    floats = MeanDistance().fit(images.astype(np.float32))
    with pytest.raises(DataError, match="trained on float32 images, but these are uint8"):
        floats.anomaly_score(images)


def test_one_image_and_all_pixels_equal(images: np.ndarray) -> None:
    with pytest.raises(DataError, match="at least 2 normal images"):
        MeanDistance().fit(images[:1])
    with pytest.raises(DataError, match="All values of the 9 training samples equal 7"):
        MeanDistance().fit(np.full((9, 4, 4, 1), 7, dtype=np.uint8))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(images: np.ndarray, value: float) -> None:
    bad = images / np.float32(255)
    bad[3, 2, 1, 0] = value
    with pytest.raises(DataError):
        MeanDistance().fit(bad)
    with pytest.raises(DataError):
        MeanDistance().fit(images).anomaly_score(bad)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"contamination": 0.7}, "contamination is a share from 0 to 0.5"),
        ({"contamination": "auto"}, "contamination is a share from 0 to 0.5"),
        ({"false_alarm_rate": 0}, "between 0 and 1"),
        ({"false_alarm_rate": 0.1, "calibration": 1.0}, "share of training images to hold out"),
        ({"false_alarm_rate": 0.1, "calibration": None}, "share of training images to hold out"),
        ({"false_alarm_rate": 0.01}, "at least 99 calibration images.*holds out only 40"),
    ],
)
def test_bad_parameters_are_refused_before_any_work(
    images: np.ndarray, params: dict[str, Any], match: str
) -> None:
    detector = MeanDistance(**params)
    with pytest.raises(SpecError, match=match):
        detector.fit(images)
    assert not hasattr(detector, "center_")


def test_batches_cover_everything_once() -> None:
    parts = list(batches(np.arange(10), 4))
    assert [len(part) for part in parts] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(10))
