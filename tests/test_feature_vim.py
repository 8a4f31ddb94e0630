"""Virtual-logit matching: its equation, its classes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from insphere.detectors import FeaturePCA, FeatureViM, load_detector
from insphere.errors import SpecError

SMALL = {"resolution": 64, "cache": False, "contamination": 0.1, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(digits3):
    return FeatureViM(n_components=20, **SMALL).fit(*digits3[:2])


def test_score_is_equation_7_of_the_paper(fitted, digits3):
    X, y, new, _ = digits3
    F, G = fitted._pooled(X).astype(float), fitted._pooled(new).astype(float)
    parts = PCA(20, svd_solver="full").fit(F)
    length = np.linalg.norm(F, axis=1).mean()
    linear = LogisticRegression(tol=1e-6, max_iter=1000).fit(F / length, y)
    logits = linear.decision_function
    rest = np.linalg.norm(G - parts.inverse_transform(parts.transform(G)), axis=1)
    rest_of_training = np.linalg.norm(F - parts.inverse_transform(parts.transform(F)), axis=1)
    alpha = logits(F / length).max(axis=1).mean() / rest_of_training.mean()
    wanted = alpha * rest - logsumexp(logits(G / length), axis=1)
    assert fitted.alpha_ == pytest.approx(alpha, rel=1e-3)
    assert_allclose(fitted.anomaly_score(new), wanted, rtol=2e-3, atol=2e-3)


def test_two_classes_have_the_logits_of_their_probabilities(digits3):
    X, y, new, _ = digits3
    two = y != 4
    detector = FeatureViM(**SMALL).fit(X[two], y[two])
    F = detector._pooled(new)
    logits = F @ detector.coef_.T + detector.intercept_
    length = np.linalg.norm(detector._pooled(X[two]), axis=1).mean()
    linear = LogisticRegression(tol=1e-6, max_iter=1000).fit(
        detector._pooled(X[two]) / length, y[two]
    )
    odds = np.exp(logits[:, 1] - logits[:, 0])
    assert_allclose(odds / (1 + odds), linear.predict_proba(F / length)[:, 1], atol=1e-4)


def test_the_smallest_score_by_class_is_the_score(fitted, digits3):
    _, _, new, its = digits3
    by_class = fitted.class_scores(new)
    assert by_class.shape == (len(new), 3)
    assert_allclose(by_class.min(axis=1), fitted.anomaly_score(new))
    known = its != 7
    assert (fitted.predict_class(new)[known] == its[known]).mean() > 0.9


def test_it_finds_what_belongs_to_no_class(fitted, digits3):
    _, _, new, its = digits3
    assert roc_auc_score(its == 7, fitted.anomaly_score(new)) > 0.85


def test_without_classes_the_residual_is_left(digits3):
    X, _, new, _ = digits3
    plain = FeatureViM(**SMALL).fit(X)
    error = FeaturePCA(**SMALL).fit(X)
    assert plain.classes_ == []
    assert plain.alpha_ == 1
    error.mean_, error.components_ = plain.mean_, plain.components_
    assert_allclose(plain.anomaly_score(new) ** 2, error.anomaly_score(new), rtol=1e-5)
    with pytest.raises(SpecError, match="knows one normal class"):
        plain.class_scores(new)


def test_scores_of_training_images_are_as_if_each_were_new(fitted, digits3):
    X, _, new, its = digits3
    own, as_new = fitted.anomaly_score(X), fitted._as_new(X)
    assert np.median(as_new) > np.median(own)
    later = fitted.anomaly_score(new[its != 7])
    gap = np.median(later) - np.median(own)
    assert abs(np.median(as_new) - np.median(later)) < gap


def test_it_is_the_same_after_saving_and_in_torch(fitted, digits3, tmp_path):
    new = digits3[2]
    loaded = load_detector(fitted.save(tmp_path / "model"))
    assert loaded.classes_ == [0, 1, 4]
    assert loaded.class_scores(new).tobytes() == fitted.class_scores(new).tobytes()
    x = torch.from_numpy(new.transpose(0, 3, 1, 2).copy())
    scored = loaded.scoring_module()(x).detach().numpy()
    assert_allclose(scored, fitted.anomaly_score(new), rtol=2e-2, atol=2e-2)


def test_on_a_network_that_was_fine_tuned_by_the_classes(digits3, tmp_path):
    X, y, new, its = digits3
    tuned = {"objective": "classes", "epochs": 1, "stages": 1}
    detector = FeatureViM(finetune=tuned, normalize="root", **SMALL).fit(X, y)
    assert roc_auc_score(its == 7, detector.anomaly_score(new)) > 0.8
    loaded = load_detector(detector.save(tmp_path / "model"))
    assert loaded.class_scores(new).tobytes() == detector.class_scores(new).tobytes()


def test_a_few_images_of_a_class_are_enough(digits3):
    X, y, new, _ = digits3
    some = np.r_[:40, 40:43]
    detector = FeatureViM(**SMALL).fit(X[some], y[some])
    assert np.isfinite(detector.class_scores(new)).all()


def test_fine_tuned_by_the_classes_it_looks_at_mirror_images_too(digits3, tmp_path):
    X, y, new, its = digits3
    tuned = {"objective": "classes", "epochs": 1, "stages": 1}
    detector = FeatureViM(finetune=tuned, mirrored=True, normalize="root", **SMALL).fit(X, y)
    scores = detector.anomaly_score(new)
    spread = scores.std()
    assert_allclose(detector.anomaly_score(new[:, :, ::-1]), scores, atol=0.02 * spread)
    one_side = FeatureViM(finetune=tuned, normalize="root", **SMALL).fit(X, y)
    assert np.abs(one_side.anomaly_score(new[:, :, ::-1]) - scores).max() > 0.1 * spread
    assert roc_auc_score(its == 7, scores) > 0.8
    loaded = load_detector(detector.save(tmp_path / "model"))
    assert loaded.class_scores(new).tobytes() == detector.class_scores(new).tobytes()
    x = torch.from_numpy(new.transpose(0, 3, 1, 2).copy())
    scored = loaded.scoring_module()(x).detach().numpy()
    assert_allclose(scored, scores, rtol=2e-2, atol=2e-2)


def test_mirror_images_need_the_names_of_the_classes(digits3):
    with pytest.raises(SpecError, match='objective "classes"'):
        FeatureViM(finetune=2, mirrored=True, **SMALL).fit(*digits3[:2])


def test_what_it_refuses(fitted, digits3):
    X, y, _, _ = digits3
    with pytest.raises(SpecError, match="learns all classes together"):
        fitted.add_class(X, "seven")
    for params, said in (
        ({"n_components": 0}, "n_components"),
        ({"n_components": 2.5}, "n_components"),
        ({"C": 0}, "C is a positive number"),
        ({"C": float("nan")}, "C is a positive number"),
        ({"C": True}, "C is a positive number"),
    ):
        with pytest.raises(SpecError, match=said):
            FeatureViM(**params, **SMALL).fit(X, y)
