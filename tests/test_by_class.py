"""Neighbours, Mahalanobis distances and patches with statistics for each normal class."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import roc_auc_score

from insphere.detectors import (
    DeepSVDD,
    FeatureKNN,
    FeatureMahalanobis,
    FeaturePCA,
    FeatureViM,
    KNNDetector,
    MahalanobisDetector,
    PatchGaussian,
    PatchMemory,
    load_detector,
)
from insphere.errors import DataError, SpecError

SMALL = {"resolution": 64, "cache": False, "random_state": 0}
ON_PHOTOS = [
    FeatureKNN(**SMALL),
    FeatureMahalanobis(**SMALL),
    FeaturePCA(**SMALL),
    FeatureViM(**SMALL),
    PatchMemory(bank_size=50, **SMALL),
    PatchGaussian(scale=None, **SMALL),
    KNNDetector(random_state=0),
    MahalanobisDetector(random_state=0),
]


def faces(n=300, seed=0):
    """Rows around three places of different spread, with their names."""
    rng = np.random.default_rng(seed)
    places = np.array([[8, 0, 0], [0, 8, 0], [0, 0, 8]], dtype=float)
    which = rng.integers(0, 3, n)
    spread = np.array([0.5, 1, 2])[which]
    names = np.array(["bolt", "nut", "washer"])[which]
    return places[which] + spread[:, None] * rng.normal(size=(n, 3)), names


def test_a_class_is_measured_by_itself_in_units_of_its_radius():
    X, names = faces()
    detector = KNNDetector(contamination=0.05).fit(X, names)
    assert detector.classes_ == ["bolt", "nut", "washer"]
    new = faces(50, seed=1)[0]
    scores = detector.class_scores(new)
    for place, name in enumerate(detector.classes_):
        mine = X[names == name]
        alone = KNNDetector(contamination=0.1).fit(mine)
        # The training table as a whole sets the scale of the columns.
        alone.column_scale_ = detector.column_scale_
        alone.training_ = detector.column_scale_.take(mine)
        own = np.sort(alone._as_new(mine))
        radius = own[round(0.9 * len(mine)) - 1]
        assert_allclose(detector.radii_[place], radius)
        assert_allclose(scores[:, place], alone.anomaly_score(new) / radius)
    assert_allclose(detector.anomaly_score(new), scores.min(axis=1))


def test_a_wide_class_does_not_hide_what_is_odd_for_a_narrow_one():
    X, names = faces(600)
    new, its = faces(600, seed=1)
    rng = np.random.default_rng(2)
    odd = np.array([8, 0, 0]) + 2.5 * rng.normal(size=(200, 3))  # too far for a bolt
    truth = np.repeat([0, 1], [len(new), len(odd)])
    both = np.vstack([new, odd])
    blind = MahalanobisDetector(random_state=0).fit(X)
    knowing = MahalanobisDetector(random_state=0).fit(X, names)
    before = roc_auc_score(truth, blind.anomaly_score(both))
    assert roc_auc_score(truth, knowing.anomaly_score(both)) > before + 0.2
    assert (knowing.predict_class(new) == its).mean() > 0.98
    assert 0.02 < (knowing.predict(new) == -1).mean() < 0.09  # 5 % were promised


@pytest.mark.parametrize("detector", ON_PHOTOS, ids=lambda one: type(one).__name__)
def test_classes_survive_saving_and_are_told_apart(detector, digits3, tmp_path):
    X, y, new, its = digits3
    fitted = detector.fit(X, y)
    known = its != 7
    assert (fitted.predict_class(new)[known] == its[known]).mean() > 0.85
    assert roc_auc_score(~known, fitted.anomaly_score(new)) > 0.8
    loaded = load_detector(fitted.save(tmp_path / "model"))
    assert loaded.classes_ == [0, 1, 4]
    assert loaded.class_scores(new).tobytes() == fitted.class_scores(new).tobytes()
    assert loaded.predict(new).tolist() == fitted.predict(new).tolist()
    scored = loaded.scoring_module()(loaded_input(new)).detach().numpy()
    assert_allclose(scored, fitted.anomaly_score(new), rtol=2e-2)
    maps = getattr(fitted, "anomaly_map", None)
    if maps is not None:
        assert maps(new[:3]).shape == (3, 8, 8)


def loaded_input(images):
    import torch

    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def test_a_class_is_added_without_training_the_others():
    X, names = faces()
    two = names != "washer"
    detector = KNNDetector(random_state=0).fit(X[two], names[two])
    new = faces(60, seed=1)[0]
    before = detector.class_scores(new)
    detector.add_class(X[~two], "washer")
    assert_array_equal(detector.class_scores(new)[:, :2], before)
    assert detector.predict_class(X[~two][:20]).tolist() == ["washer"] * 20
    with pytest.raises(SpecError, match="is a class 'nut' already"):
        detector.add_class(X, "nut")
    with pytest.raises(DataError, match="at least two samples"):
        detector.add_class(X[:1], "screw")


def test_scores_of_training_samples_are_as_if_each_were_new():
    X, names = faces(60)
    detector = KNNDetector(n_neighbors=1, random_state=0).fit(X, names)
    assert detector.calibration_kind_ == "left out"
    assert detector.calibration_scores_.min() > 0
    assert (detector.anomaly_score(X) == 0).all()  # each is its own neighbour


def test_one_class_is_the_detector_without_classes():
    X, _ = faces()
    one = KNNDetector(random_state=0).fit(X, np.zeros(len(X), int))
    plain = KNNDetector(random_state=0).fit(X)
    assert one.anomaly_score(X).tobytes() == plain.anomaly_score(X).tobytes()
    with pytest.raises(SpecError, match="knows one normal class"):
        one.predict_class(X)


@pytest.mark.parametrize(
    "detector", [KNNDetector(), DeepSVDD(epochs=1, pretrain_epochs=0, contamination=0.1)]
)
def test_labels_of_anomalies_are_no_classes(detector, digits):
    """Else a detector would silently learn the anomalies as a normal class."""
    images, target = digits
    with pytest.warns(UserWarning, match="It is ignored, and all samples are taken for normal"):
        detector.fit(images[:60], np.where(target[:60] == 3, -1, 1))
    assert detector.classes_ == []
