"""Several normal classes in one network: a centre and a radius for each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import roc_auc_score

from insphere import DeepSVDD
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError, SpecError
from insphere.training.batch import Batch
from insphere.training.heads.centers import CentersSpec

QUICK = {
    "recipe": "fast",
    "epochs": 3,
    "pretrain_epochs": 1,
    "random_state": 0,
    "contamination": 0.05,
}


@pytest.fixture(scope="module")
def modes():
    """Rows around three places, with their names."""
    rng = np.random.default_rng(0)
    places = np.array([[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 5, 5]], dtype=float)
    names = np.array(["bolt", "nut", "washer"])
    which = rng.integers(0, 3, 300)
    return places[which] + rng.normal(size=(300, 4)), names[which]


# ---------------------------------------------------------------- the head


def test_centres_and_radii_by_hand():
    z = torch.tensor([[1.0, 1], [3, 1], [-4, 2], [-4, 4]]).repeat_interleave(5, dim=0)
    z[::5] += torch.tensor([0.0, 2.0])  # one of five members of each pair is farther away
    labels = torch.arange(2).repeat_interleave(10)
    head = CentersSpec(nu=0.25).build(2)
    head.fit(Batch(z, labels))
    expected = torch.stack([z[:10].mean(dim=0), z[10:].mean(dim=0)])
    assert_allclose(head.centers, expected, rtol=1e-6)
    own = (z - expected[labels]).square().sum(dim=1)
    radii = [own[:10].sort().values[7].sqrt(), own[10:].sort().values[7].sqrt()]  # 8th of 10
    assert_allclose(head.radii, torch.stack(radii), rtol=1e-6)
    scaled = (z[:, None] - expected).square().sum(dim=2) / torch.stack(radii).square()
    assert_allclose(head(z), scaled.min(dim=1).values, rtol=1e-5)
    assert_allclose(head.loss(Batch(z, labels), torch.mean), own.mean(), rtol=1e-6)


def test_a_class_of_few_members_has_the_radius_of_all():
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(50, 3, generator=rng) + 4
    labels = (torch.arange(50) >= 48).long()  # two members
    head = CentersSpec().build(3)
    head.fit(Batch(z, labels))
    own = (z - head.centers[labels]).square().sum(dim=1)
    assert head.radii[1] == own.kthvalue(45).values.sqrt()


def test_small_clusters_are_dropped_after_training():
    rng = torch.Generator().manual_seed(0)
    z = torch.cat([torch.randn(60, 2, generator=rng) + 10, torch.randn(3, 2, generator=rng) - 30])
    head = CentersSpec(n_centers=2, smallest=0.2).build(2)
    head.fit(Batch(z))
    assert len(head.centers) == 2
    head.fit(Batch(z))
    assert len(head.centers) == 1
    assert head.centers[0].min() > 5


# ---------------------------------------------------------------- the detector


def test_classes_are_told_apart_and_what_lies_between_is_anomalous(modes):
    X, names = modes
    detector = DeepSVDD(epochs=20, pretrain_epochs=0, random_state=0, contamination=0.05).fit(
        X, names
    )
    assert detector.classes_ == ["bolt", "nut", "washer"]
    assert (detector.predict_class(X) == names).mean() > 0.97
    scores = detector.class_scores(X)
    assert scores.shape == (300, 3)
    assert_allclose(detector.anomaly_score(X), scores.min(axis=1), rtol=1e-6)
    outside = [(scores[names == name, k] > 1).mean() for k, name in enumerate(detector.classes_)]
    assert_allclose(outside, 0.1, atol=0.02)  # ν of every sphere


@pytest.mark.slow
def test_classes_beat_one_centre_on_real_digits(digits):
    images, target = digits
    known = np.flatnonzero(target < 4)
    train, held_out = known[::2], known[1::2]
    test = np.concatenate([held_out, np.flatnonzero(target >= 4)])
    aucs = {}
    for name, y in (("classes", target[train]), ("one centre", None)):
        detector = DeepSVDD(
            recipe="fast", epochs=30, pretrain_epochs=5, random_state=0, contamination=0.05
        ).fit(images[train], y)
        aucs[name] = roc_auc_score(target[test] >= 4, detector.anomaly_score(images[test]))
    assert aucs["classes"] > aucs["one centre"] + 0.02
    assert aucs["classes"] > 0.85


def test_one_class_is_the_same_as_none(modes):
    X, _ = modes
    plain = DeepSVDD(**QUICK).fit(X)
    same = DeepSVDD(**QUICK).fit(X, np.full(len(X), "bolt"))
    assert_array_equal(plain.anomaly_score(X), same.anomaly_score(X))


def test_centres_are_found_without_classes(modes):
    X, names = modes
    head = {"kind": "centers", "n_centers": 3}
    detector = DeepSVDD(
        epochs=10, pretrain_epochs=0, head=head, random_state=0, contamination=0.05
    ).fit(X)
    found = detector.predict_class(X)
    agree = [np.bincount(found[names == name]).max() for name in np.unique(names)]
    assert sum(agree) / len(X) > 0.9


def test_saved_and_loaded_it_knows_the_classes(modes, tmp_path):
    X, names = modes
    detector = DeepSVDD(**QUICK).fit(X, names)
    detector.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert loaded.classes_ == detector.classes_
    assert_array_equal(loaded.predict_class(X), detector.predict_class(X))
    assert_array_equal(loaded.anomaly_score(X), detector.anomaly_score(X))


def test_a_class_is_added_without_training_the_others_anew(modes, tmp_path):
    X, names = modes
    known = names != "washer"
    detector = DeepSVDD(**QUICK).fit(X[known], names[known])
    before = detector.class_scores(X)
    weights = [p.detach().clone() for p in detector.sphere_.encoder.parameters()]
    detector.add_class(X[~known], "washer")
    after = detector.class_scores(X)
    assert_array_equal(after[:, :2], before)
    for old, new in zip(weights, detector.sphere_.encoder.parameters(), strict=True):
        assert_array_equal(old, new.detach())
    assert detector.classes_ == ["bolt", "nut", "washer"]
    assert (after[~known, 2] <= 1).mean() == pytest.approx(0.9, abs=0.02)
    detector.save(tmp_path / "model")
    assert_array_equal(load_detector(tmp_path / "model").class_scores(X), after)
    with pytest.raises(SpecError, match="already"):
        detector.add_class(X[~known], "nut")
    with pytest.raises(DataError, match="at least two"):
        detector.add_class(X[:1], "screw")


def test_resumed_is_the_same_as_uninterrupted(modes, tmp_path):
    X, names = modes
    whole = DeepSVDD(**QUICK).fit(X, names)
    for _ in range(2):
        again = DeepSVDD(**QUICK, checkpoint_dir=tmp_path).fit(X, names)
        assert_array_equal(again.anomaly_score(X), whole.anomaly_score(X))


def test_one_centre_has_no_classes(modes):
    detector = DeepSVDD(**QUICK).fit(modes[0])
    assert detector.classes_ == []
    for ask in (detector.predict_class, detector.class_scores):
        with pytest.raises(SpecError, match="knows no classes"):
            ask(modes[0])
