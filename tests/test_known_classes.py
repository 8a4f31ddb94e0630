"""Fine-tuning by the classes of normal images: what it minimises, learns, saves and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from torch import nn

import insphere
from insphere.detectors import FeatureKNN, KNNDetector
from insphere.errors import SpecError
from insphere.training.batch import Batch
from insphere.training.finetune import FinetuneSpec
from insphere.training.known_classes import GAIN, Background, KnownClasses

CLASSES = {"objective": "classes", "stages": 2, "batch_size": 32, "lr": 5e-4}
QUICK = {"resolution": 64, "precision": "float32", "contamination": 0.05, "random_state": 0}
TUNED = QUICK | {"finetune": CLASSES, "normalize": "root"}


@pytest.fixture(scope="module")
def digits():
    """Digits 0 to 2, of which 60 each are for training, and digit 3, which nobody has seen."""
    known = load_digits()
    images = (known.images * 15.9).astype(np.uint8)[..., None].repeat(4, 1).repeat(4, 2)
    places = [np.flatnonzero(known.target == k)[:120] for k in range(4)]
    train = np.concatenate([where[:60] for where in places[:3]])
    new = np.concatenate([where[60:] for where in places])
    return images[train], known.target[train], images[new], known.target[new]


@pytest.fixture(scope="module")
def tuned(digits):
    return FeatureKNN(**TUNED).fit(*digits[:2])


def test_loss_is_the_cross_entropy_of_the_mean_map():
    objective = KnownClasses(nn.Identity(), 2, 3)
    with torch.no_grad():
        objective.dense.weight.copy_(torch.tensor([[0.1, 0.0], [0.0, 0.2], [0.0, 0.0]]))
    maps = torch.tensor([[[[1.0, 3.0]], [[0.0, 2.0]]]])  # means 2 and 1
    logits = GAIN * np.array([0.2, 0.2, 0.0])
    expected = -np.log(np.exp(logits[1]) / np.exp(logits).sum())
    loss = objective(Batch(maps, torch.tensor([1])))
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    assert objective.end_epoch(0) == {"accuracy": 0.0}
    assert objective.end_epoch(1) == {"accuracy": 0.0}


def test_classes_have_defaults_of_their_own_and_given_values_count():
    usual = FinetuneSpec(objective="classes")
    assert (usual.stages, usual.phase.schedule) == (6, "one-cycle")
    assert usual.lr > FinetuneSpec().lr
    assert FinetuneSpec(objective="classes", stages=2, lr=1e-6).phase.lr == 1e-6
    assert FinetuneSpec(stages=2).phase.schedule == "constant"
    assert FinetuneSpec.model_validate(usual.model_dump()) == usual


def test_background_is_a_ratio_of_likelihoods():
    """Two classes of the pretraining; the first known class is the first of them, and so on."""
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
        layer.bias.zero_()
    background = Background(layer, 2)
    z = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    maps, labels = z[:, :, None, None], torch.tensor([0, 1])
    background.measure(nn.Identity(), [Batch(maps, labels)])
    p = torch.softmax(z, dim=1).numpy()
    np.testing.assert_allclose(background.shares, p, rtol=1e-6)
    ratios = 2 * p @ p.T
    expected = -np.log(np.diag(ratios) / (1 + ratios.sum(axis=1))).mean()
    assert float(background(z, labels)) == pytest.approx(expected, rel=1e-5)


def test_classes_are_learned_and_an_unknown_one_is_found_better(digits, tuned):
    X, y, images, label = digits
    history = tuned.finetune_history_
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert history[-1]["accuracy"] > 0.95
    known = label < 3
    frozen = FeatureKNN(**QUICK).fit(X, y)
    right = (tuned.predict_class(images[known]) == label[known]).mean()
    assert right > 0.9
    auc = roc_auc_score(~known, tuned.anomaly_score(images))
    assert auc > roc_auc_score(~known, frozen.anomaly_score(images)) + 0.05
    assert len(set(tuned.radii_)) == 1 < len(set(frozen.radii_))


def test_saved_and_loaded_it_scores_alike_and_takes_a_new_class(digits, tuned, tmp_path):
    _, _, images, label = digits
    scores = tuned.anomaly_score(images)
    loaded = insphere.load(tuned.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(images), scores)
    assert loaded.finetune_history_ == tuned.finetune_history_
    loaded.add_class(images[label == 3][:40], 3)
    assert len(set(loaded.radii_)) == 1
    assert (loaded.predict_class(images[label == 3][40:]) == 3).mean() > 0.8


def test_module_scores_as_the_detector(digits, tuned):
    images = digits[2][:6]
    scores = tuned.scoring_module()(torch.from_numpy(images).permute(0, 3, 1, 2))
    np.testing.assert_allclose(scores.detach(), tuned.anomaly_score(images), rtol=1e-3)


def test_distances_are_divided_by_the_ratio_and_survive_a_reload(digits, tuned, tmp_path):
    X, y, images, _ = digits
    images = images[::9]
    detector = FeatureKNN(**TUNED, background=True, n_neighbors=3).fit(X, y)
    member, (weight, bias) = detector.members_[1], detector._layer
    F = detector._pooled(images)
    p = torch.from_numpy(F**2 @ weight.T + bias).softmax(dim=1).numpy()
    own = torch.from_numpy(member.training_**2 @ weight.T + bias).softmax(dim=1).numpy()
    ratio = 1000 * p @ own.mean(axis=0)
    distance = np.sort(np.linalg.norm(F[:, None] - member.training_, axis=2), axis=1)[:, :3]
    expected = distance.mean(axis=1) / ratio ** (1 / 16) / detector.radii_[1]
    scores = detector.anomaly_score(images)
    np.testing.assert_allclose(detector.class_scores(images)[:, 1], expected, rtol=1e-5)
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(images), scores)
    module = detector.scoring_module()(torch.from_numpy(images).permute(0, 3, 1, 2))
    np.testing.assert_allclose(module.detach(), scores, rtol=1e-3)


def test_the_same_seed_gives_the_same_and_components_get_the_classes_too(digits, tuned):
    X, y, images, _ = digits
    again = FeatureKNN(**TUNED).fit(X, y)
    np.testing.assert_array_equal(again.anomaly_score(images), tuned.anomaly_score(images))
    component = {"finetune": CLASSES | {"stages": 1, "background": False}, "resolution": 64}
    other = KNNDetector(features=component, contamination=0.05, random_state=0).fit(X, y)
    assert other.features_.finetune_history_[-1]["accuracy"] > 0.9


def test_without_classes_it_is_refused_in_one_sentence(digits):
    with pytest.raises(SpecError, match="--by-class"):
        FeatureKNN(**TUNED).fit(digits[0])


def test_a_background_needs_means_with_their_length(digits):
    with pytest.raises(SpecError, match='normalize="root"'):
        FeatureKNN(background=True, **QUICK).fit(*digits[:2])
    with pytest.raises(SpecError, match="with random"):
        FeatureKNN(background=True, normalize="root", weights="random", **QUICK).fit(digits[0])
