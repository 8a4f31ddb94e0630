"""Deep SAD and HSC: what labelled anomalies do to the training, and what they must not touch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from insphere import DeepSAD, DeepSVDD
from insphere.detectors import HypersphereClassifier
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError, SpecError
from insphere.training.batch import Batch
from insphere.training.labelled_anomalies import LabelledAnomalies

QUICK = {
    "recipe": "fast",
    "epochs": 3,
    "pretrain_epochs": 1,
    "random_state": 0,
    "contamination": 0.05,
}


@pytest.fixture
def rows():
    """200 normal rows, 6 anomalous ones, and their labels."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(200, 6)), 4 + rng.normal(size=(6, 6))])
    return X, np.repeat([0, -1], [200, 6])


# ---------------------------------------------------------------- equations


def test_deep_sad_loss_by_hand():
    d = torch.tensor([2.0, 2.0, 2.0, 0.5], dtype=torch.float64)
    labels = torch.tensor([0, 1, -1, -1])
    losses = LabelledAnomalies(loss="inverse", eta=3.0).losses(d, labels)
    expected = [2.0, 6.0, 3 / (2 + 1e-6), 3 / (0.5 + 1e-6)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)


def test_hypersphere_classifier_loss_by_hand():
    d = torch.tensor([3.0, 3.0], dtype=torch.float64)  # h = √4 − 1 = 1
    losses = LabelledAnomalies(loss="cross-entropy").losses(d, torch.tensor([0, -1]))
    assert losses.tolist() == pytest.approx([1.0, -math.log(1 - math.exp(-1))], rel=1e-12)


@pytest.mark.parametrize("loss", ["inverse", "cross-entropy"])
def test_gradients_draw_normals_in_and_push_anomalies_out(loss):
    d = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64, requires_grad=True)
    LabelledAnomalies(loss=loss).losses(d, torch.tensor([0, 1, -1])).sum().backward()
    assert d.grad[0] > 0
    assert d.grad[1] > 0
    assert d.grad[2] < 0


@pytest.mark.parametrize("loss", ["inverse", "cross-entropy"])
def test_a_labelled_anomaly_on_the_centre_has_a_finite_loss(loss):
    d = torch.zeros(1, requires_grad=True)
    value = LabelledAnomalies(loss=loss).losses(d, torch.tensor([-1])).sum()
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(d.grad).all()


def test_normals_of_a_batch_keep_what_belongs_to_them():
    batch = Batch(
        torch.arange(4.0)[:, None], torch.tensor([0, -1, 1, -1]), None, torch.arange(4.0) + 1
    )
    kept = batch.normals()
    assert kept.x.flatten().tolist() == [0, 2]
    assert kept.labels.tolist() == [0, 1]
    assert kept.groups is None
    assert kept.weights.tolist() == [1, 3]


# ---------------------------------------------------------------- the detector


def test_without_labels_it_is_deep_svdd_to_the_last_bit(rows):
    X, _ = rows
    plain = DeepSVDD(**QUICK).fit(X)
    for y in (None, np.zeros(len(X), dtype=int)):
        labelled = DeepSAD(**QUICK).fit(X, y)
        assert_array_equal(labelled.anomaly_score(X), plain.anomaly_score(X))
        assert labelled.threshold_ == plain.threshold_


def test_anomalies_touch_neither_preprocessing_nor_threshold_nor_centre(rows):
    X, y = rows
    strange = X.copy()
    strange[y == -1] = 1e3
    untouched = {"epochs": 1, "pretrain_epochs": 0, "lr": 1e-12, "contamination": 0.05}
    detector = DeepSAD(**untouched).fit(strange, y)
    alone = DeepSVDD(epochs=1, pretrain_epochs=0, lr=1e-12, random_state=0, contamination=0.05).fit(
        X[y == 0]
    )
    steps, others = (d.sphere_.preprocessor.state_dict() for d in (detector, alone))
    for name, value in steps.items():
        assert_array_equal(value.numpy(), others[name].numpy())
    outside = detector.anomaly_score(strange[y == 0]) > detector.threshold_
    assert outside.mean() == pytest.approx(0.05, abs=0.01)
    assert detector.n_labelled_ == {"normal": 0, "anomalous": 6}


@pytest.mark.slow
@pytest.mark.parametrize("method", [DeepSAD, HypersphereClassifier])
def test_a_few_labels_raise_the_auc_on_real_digits(method, digits):
    images, target = digits
    aucs = {"plain": [], "labelled": []}
    for normal, other in ((8, 1), (3, 5)):
        own, known = np.flatnonzero(target == normal), np.flatnonzero(target == other)
        train, shown = own[:100], known[:10]
        test = np.concatenate([own[100:], known[10:]])
        X, y = images[np.concatenate([train, shown])], np.repeat([0, -1], [100, 10])
        settings = {"recipe": "fast", "epochs": 30, "pretrain_epochs": 10, "random_state": 0}
        for name, detector in (
            ("plain", DeepSVDD(**settings).fit(X[y == 0])),
            ("labelled", method(**settings).fit(X, y)),
        ):
            scores = detector.anomaly_score(images[test])
            aucs[name].append(roc_auc_score(target[test] != normal, scores))
    assert np.mean(aucs["labelled"]) > np.mean(aucs["plain"]) + 0.01
    assert np.mean(aucs["labelled"]) > 0.92


def test_saved_and_loaded_it_scores_the_same(rows, tmp_path):
    X, y = rows
    detector = DeepSAD(**QUICK, eta=2.0).fit(X, y)
    detector.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert_array_equal(loaded.anomaly_score(X), detector.anomaly_score(X))
    assert loaded.n_labelled_ == detector.n_labelled_
    assert loaded.spec_ == detector.spec_
    assert clone(loaded).get_params()["eta"] == 2.0


def test_a_checkpoint_of_other_labels_is_not_used(rows, tmp_path):
    X, y = rows
    first = DeepSAD(**QUICK, checkpoint_dir=tmp_path).fit(X, y)
    again = DeepSAD(**QUICK, checkpoint_dir=tmp_path).fit(X, y)
    assert_array_equal(first.anomaly_score(X), again.anomaly_score(X))
    other = DeepSAD(**QUICK, checkpoint_dir=tmp_path).fit(X, np.roll(y, 7))
    assert not np.array_equal(first.anomaly_score(X), other.anomaly_score(X))


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([2] * 206, "holds 0 for an unlabelled"),
        (["good"] * 206, "for the class of each normal sample use DeepSVDD"),
        ([-1] * 206, "nothing is normal"),
        ([0, -1], "206 rows, but 2 labels"),
        ([np.nan] * 206, "holds 0 for an unlabelled"),
    ],
)
def test_other_labels_are_refused(rows, y, said):
    with pytest.raises(DataError, match=said):
        DeepSAD(**QUICK).fit(rows[0], y)


def test_the_soft_boundary_is_refused(rows):
    with pytest.raises(SpecError, match="do not go together"):
        DeepSAD(**QUICK, objective="soft-boundary").fit(*rows)
    with pytest.raises(SpecError, match="eta"):
        DeepSAD(**QUICK, eta=0).fit(*rows)
