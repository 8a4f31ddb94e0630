"""`scoring_module`: the score of every detector with a network, as one torch module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insphere.attacks.pgd import fool
from insphere.data.load import load_dataset
from insphere.detectors.base.network_detector import NetworkDetector
from insphere.detectors.registry import METHODS, build_detector, detector_class
from insphere.explain.heat import heat_maps

WITH_NETWORK = [m for m in METHODS if issubclass(detector_class(m), NetworkDetector)]
TINY = {
    "deep-svdd": {"recipe": "fast", "epochs": 1, "pretrain_epochs": 1},
    "untrained": {"recipe": "fast"},
    "fcdd": {"epochs": 1, "pretrain_epochs": 1},
    "fcdd-labelled": {"epochs": 1, "pretrain_epochs": 1},
    "deep-sad": {"epochs": 1, "pretrain_epochs": 1},
    "hsc": {"epochs": 1, "pretrain_epochs": 1},
    "dcae": {"epochs": 1},
    "segmentation": {"epochs": 2, "widths": (4, 8, 8)},
    "softmax": {"epochs": 1},
    "anogan": {"train_steps": 3, "search_steps": 3, "width": 4, "latent_dim": 8},
    "fpsvdd": {"epochs": 1, "objective": "both", "pooling": "weighted"},
    "feature-svdd": {"epochs": 1},
    "feature-knn": {"stages": ["s5", "s7"], "statistic": "both"},
    "feature-mahalanobis": {"finetune": {"stages": 1, "epochs": 1}},
    "feature-pca": {"normalize": "l2", "focus": 0.5, "mirrored": True},
    "patch-memory": {"bank_size": 50, "pooling": "top"},
    "patch-gaussian": {"scale": None},
    "patch-discriminator": {"scale": None, "epochs": 20},
}
NOT_EXPORTED = {"anogan": "it searches by gradients while it scores"}


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits-8x8", progress=False)
    return data.images[:120], data.labels[:120]


@pytest.fixture(scope="module")
def fitted(digits):
    """Fit each method once, when first asked for."""
    images, labels = digits
    made = {}

    def of(method):
        if method not in made:
            card = detector_class(method).card
            params = dict(TINY.get(method, {})) | {"contamination": 0.05}
            if card.needs_pretrained:
                params |= {"resolution": 32, "cache": False}
            extra = {"precision": "float32", "device": "cpu"}
            detector = build_detector(method, params, seed=0, **extra)
            if card.needs_labels:
                detector.fit(images, labels)
            else:
                detector.fit(images[labels == 3])
            made[method] = detector
        return made[method]

    return of


def batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def test_every_method_with_a_network_has_one():
    without = set(METHODS) - set(WITH_NETWORK)
    cards = {m: detector_class(m).card for m in METHODS}
    assert without == {
        m
        for m, card in cards.items()
        if card.family in ("shallow", "combined") or "images" not in card.takes
    }


@pytest.mark.parametrize("method", WITH_NETWORK)
@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_its_values_are_the_scores(fitted, digits, method, kind):
    images = digits[0][:40] if kind == "uint8" else (digits[0][:40] / 255).astype(np.float32)
    detector = fitted(method)
    module = detector.scoring_module()
    assert not module.training
    with torch.no_grad():
        values = module(batch(images)).double().numpy()
    scores = detector.anomaly_score(images)
    assert scores.std() > 0
    np.testing.assert_allclose(values, scores, rtol=2e-4, atol=2e-4 * np.abs(scores).mean())


@pytest.mark.parametrize("method", WITH_NETWORK)
def test_it_has_gradients_that_lower_the_score(fitted, digits, method):
    module = fitted(method).scoring_module()
    x = (batch(digits[0][:8]).float() / 255).requires_grad_()
    before = module(x)
    (gradient,) = torch.autograd.grad(before.sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient.flatten(1).abs().amax(dim=1) > 0).any()
    if method == "anogan":  # its search ends somewhere else for a changed image
        return
    step = 1e-3 * gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None, None]
    with torch.no_grad():
        assert module(x - step).sum() < before.sum()


@pytest.mark.parametrize("method", [m for m in WITH_NETWORK if m not in NOT_EXPORTED])
def test_it_is_exported_for_batches_of_any_size(fitted, digits, method):
    module = fitted(method).scoring_module()
    x = batch(digits[0]).float() / 255
    batches = {0: torch.export.Dim("batch", min=2, max=512)}
    program = torch.export.export(module, (x[:5],), dynamic_shapes=(batches,)).module()
    with torch.no_grad():
        for size in (3, 60):
            expected = module(x[:size])
            np.testing.assert_allclose(program(x[:size]), expected, rtol=1e-4, atol=1e-5)


def test_tables_have_one_too():
    rows = np.random.default_rng(0).normal(size=(60, 5))
    for method in ("deep-svdd", "untrained", "dcae"):
        detector = build_detector(method, TINY.get(method, {}), seed=0).fit(rows)
        with torch.no_grad():
            values = detector.scoring_module()(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(values, detector.anomaly_score(rows), rtol=1e-5)


def test_features_can_be_attributed_and_attacked(fitted, digits):
    detector, images = fitted("feature-knn"), digits[0][digits[1] != 3][:4]
    assert heat_maps(detector, images, "gradient").max() > 0
    fooled = fool(detector, images, epsilon=8, steps=3)
    assert (fooled.after < fooled.before).all()
