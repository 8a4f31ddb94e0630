"""Evidence for other classes alone: its equation, its classes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from insphere.detectors import Combination, FeatureAlternatives, load_detector
from insphere.errors import SpecError

SMALL = {"resolution": 64, "cache": False, "contamination": 0.1, "random_state": 0}
JOINED = {"backbone": "efficientnet-lite0+efficientnet-lite1", "normalize": "l2"}


@pytest.fixture(scope="module")
def fitted(digits3):
    return FeatureAlternatives(**JOINED, **SMALL).fit(*digits3[:2])


def evidence(detector, X, codes, new, around):
    """Return τ log (1/K) Σ exp(z_k/τ) from its definition, for the mean of some images."""
    F, G = detector._pooled(X), detector._pooled(new)
    networks = getattr(detector._extractor.backbone, "members", [detector._extractor.backbone])
    z = np.zeros((len(new), 1000))
    for place, network in enumerate(networks):
        weight = network.classifier.weight.detach().double().numpy()
        own = slice(1280 * place, 1280 * (place + 1))
        told = F[:, own] @ weight.T
        within = [told[codes == k] - told[codes == k].mean(axis=0) for k in np.unique(codes)]
        middle, deviation = told[around].mean(axis=0), np.concatenate(within).std(axis=0)
        z += (G[:, own] @ weight.T - middle) / deviation / np.sqrt(len(networks))
    tau = detector.temperature
    return tau * np.log(np.exp(z / tau).mean(axis=1))


def test_the_score_is_the_evidence_for_any_class(fitted, digits3):
    X, y, new, its = digits3
    wanted = evidence(fitted, X, y, new, y == y)
    assert_allclose(fitted.anomaly_score(new), wanted, atol=1e-4)
    each = np.stack([evidence(fitted, X, y, new, y == k) for k in (0, 1, 4)], axis=1)
    behind = each - each.min(axis=1, keepdims=True)
    assert_allclose(fitted.class_scores(new), wanted[:, None] + behind, atol=1e-4)
    known = its != 7
    assert (fitted.predict_class(new)[known] == its[known]).mean() > 0.8


def test_the_temperature_is_that_of_the_equation(digits3):
    X, y, new, _ = digits3
    cold = FeatureAlternatives(temperature=0.5, normalize="l2", **SMALL).fit(X, y)
    assert_allclose(cold.anomaly_score(new), evidence(cold, X, y, new, y == y), atol=1e-4)


def test_without_classes_all_normal_images_are_one(digits3):
    X, y, new, _ = digits3
    own = X[y == 0]
    one = FeatureAlternatives(normalize="l2", **SMALL).fit(own)
    assert one.classes_ == []
    wanted = evidence(one, own, np.zeros(len(own), int), new, np.ones(len(own), bool))
    assert_allclose(one.anomaly_score(new), wanted, atol=1e-4)
    named = FeatureAlternatives(normalize="l2", **SMALL).fit(own, y[y == 0])
    assert_allclose(named.anomaly_score(new), one.anomaly_score(new))
    with pytest.raises(SpecError, match="knows one normal class"):
        one.class_scores(new)


@pytest.mark.parametrize("params", [JOINED, {"normalize": "root"}], ids=["joined", "root"])
def test_it_is_the_same_after_saving_and_in_torch(digits3, tmp_path, params):
    X, y, new, _ = digits3
    detector = FeatureAlternatives(**params, **SMALL).fit(X, y)
    loaded = load_detector(detector.save(tmp_path / "model"))
    assert loaded.classes_ == [0, 1, 4]
    assert loaded.class_scores(new).tobytes() == detector.class_scores(new).tobytes()
    x = torch.from_numpy(new.transpose(0, 3, 1, 2).copy())
    scored = loaded.scoring_module()(x).detach().numpy()
    assert_allclose(scored, detector.anomaly_score(new), rtol=2e-2, atol=2e-2)


def test_it_is_a_member_of_a_combination_with_classes(digits3, tmp_path):
    X, y, new, its = digits3
    members = [
        {"method": "feature-vim", "params": {"resolution": 64, "cache": False}},
        {"method": "feature-alternatives", "params": {"resolution": 64, "cache": False}},
    ]
    both = Combination(members=members, contamination=0.1, random_state=0).fit(X, y)
    assert roc_auc_score(its == 7, both.anomaly_score(new)) > 0.75
    known = its != 7
    assert (both.predict_class(new)[known] == its[known]).mean() > 0.9
    loaded = load_detector(both.save(tmp_path / "model"))
    assert loaded.class_scores(new).tobytes() == both.class_scores(new).tobytes()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"statistic": "max"}, "leave out statistic and stages"),
        ({"stages": ["s5"]}, "leave out statistic and stages"),
        ({"weights": "random"}, r"efficientnet-lite0 \(random"),
        ({"temperature": 0}, "temperature is a positive number"),
        ({"temperature": float("nan")}, "temperature is a positive number"),
    ],
)
def test_what_it_refuses(digits3, params, said):
    X, y = digits3[:2]
    with pytest.raises(SpecError, match=said):
        FeatureAlternatives(**params, **SMALL).fit(X, y)


def test_no_class_is_added(fitted, digits3):
    with pytest.raises(SpecError, match="learns all classes together"):
        fitted.add_class(digits3[0], "seven")
