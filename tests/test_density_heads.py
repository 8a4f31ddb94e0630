"""Densities as heads: a Gaussian mixture and a normalising flow on the representation."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score

import insphere
from insphere.detectors import DeepSVDD
from insphere.nets import EncoderSpec
from insphere.training.batch import Batch
from insphere.training.heads.ellipsoid import EllipsoidSpec
from insphere.training.heads.flow import FlowSpec
from insphere.training.heads.mixture import MixtureSpec

SETTINGS = {
    "recipe": "fast",
    "encoder": EncoderSpec(widths=(6, 4), rep_dim=8, kernel=3), "epochs": 5, "pretrain_epochs": 3,
    "batch_size": 50, "random_state": 0, "precision": "float32", "device": "cpu",
    "contamination": 0.05,
}  # fmt: skip
KINDS = ("mixture", "flow")


@pytest.fixture(scope="module")
def threes(digits):
    images, target = digits
    return images[target == 3]


def fitted(spec, z):
    torch.manual_seed(0)
    head = spec.build(z.shape[1]).double()
    head.fit(Batch(z))
    head.fit(Batch(z))
    return head


def two_clouds(n, rng):
    z = 0.5 * rng.normal(size=(n, 3))
    z[:, 0] += np.where(rng.random(n) < 0.5, -4, 4)
    return torch.from_numpy(z)


def test_a_mixture_of_one_is_the_ellipsoid():
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) + 3)
    weights = torch.from_numpy(rng.random(200))
    for batch in (Batch(z), Batch(z, weights=weights)):
        one, ellipsoid = MixtureSpec(n_components=1).build(4).double(), EllipsoidSpec().build(4)
        one.fit(batch)
        one.fit(batch)
        ellipsoid = ellipsoid.double()
        ellipsoid.fit(batch)
        torch.testing.assert_close(one(z), ellipsoid(z))


def test_the_mixture_is_the_density_of_its_components():
    z = two_clouds(600, np.random.default_rng(1))
    head = fitted(MixtureSpec(n_components=2), z)
    assert sorted(head.means[:, 0].round().tolist()) == [-4, 4]
    points = z[:50].numpy()
    covariances = [np.linalg.inv((root @ root.T).numpy()) for root in head.roots]
    responsible = np.stack(
        [multivariate_normal(m.numpy(), c).logpdf(points)
         for m, c in zip(head.means, covariances, strict=True)]
    )  # fmt: skip
    shares = np.array([(z[:, 0] * mean[0] > 0).double().mean() for mean in head.means])
    log_p = logsumexp(responsible + np.log(shares)[:, None], axis=0)
    peaks = [multivariate_normal(np.zeros(3), c).logpdf(np.zeros(3)) for c in covariances]
    bound = logsumexp(peaks + np.log(shares))
    np.testing.assert_allclose(head(z[:50]), 2 * (bound - log_p), atol=1e-3)
    assert (head(100 * torch.randn(500, 3, dtype=torch.double)) >= 0).all()


@pytest.mark.parametrize("spec", [MixtureSpec(n_components=2), FlowSpec()], ids=KINDS)
def test_the_space_between_two_clouds_is_anomalous(spec):
    rng = np.random.default_rng(2)
    head, new = fitted(spec, two_clouds(1000, rng)), two_clouds(200, rng)
    between = torch.from_numpy(0.5 * rng.normal(size=(200, 3)))
    scores = head(torch.cat([new, between])).numpy()
    assert roc_auc_score(np.repeat([0, 1], 200), scores) > 0.98
    ellipsoid = fitted(EllipsoidSpec(), two_clouds(1000, rng))
    assert roc_auc_score(np.repeat([0, 1], 200), ellipsoid(torch.cat([new, between]))) < 0.6


def test_the_flow_is_a_density_that_fits_better_than_its_gaussian():
    rng = np.random.default_rng(3)

    def banana(n):
        x = rng.normal(size=(n, 3))
        x[:, 1] += x[:, 0] ** 2
        return torch.from_numpy(x)

    z, new = banana(2000), banana(500)
    head = fitted(FlowSpec(), z)
    white = ((new - head.mean) @ head.root)[0]

    def through(x):
        x = x[None]
        for coupling in head.couplings:
            x, _ = coupling(x)
        return x[0]

    jacobian = torch.autograd.functional.jacobian(through, white)
    by_hand = torch.linalg.slogdet(jacobian).logabsdet - through(white).square().sum() / 2
    torch.testing.assert_close(head.log_density(new)[0], by_hand)
    gaussian = FlowSpec().build(3).double()
    gaussian.fit(Batch(z))  # before training it is one
    squared = fitted(EllipsoidSpec(), z)(new)
    torch.testing.assert_close(gaussian.log_density(new), -squared / 2)
    gain = head.log_density(new).mean() - gaussian.log_density(new).mean()
    assert float(gain) > 0.2
    again = fitted(FlowSpec(), z)
    assert torch.equal(again(new), head(new))
    assert not any(p.requires_grad for p in head.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_scores_the_same_bits(digits, threes, tmp_path, kind):
    images, target = digits
    detector = DeepSVDD(**SETTINGS, head=kind).fit(threes)
    scores = detector.anomaly_score(images)
    assert roc_auc_score(target != 3, scores) > 0.9
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(images), scores)
    plain = DeepSVDD(**SETTINGS).fit(threes)
    np.testing.assert_array_equal(detector.transform(threes), plain.transform(threes))


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_scores_alike(threes, tmp_path, kind):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from insphere.export.graph import export_onnx
    from insphere.runtime import Scorer

    detector = DeepSVDD(**SETTINGS, head=kind).fit(threes)
    path = export_onnx(detector.save(tmp_path / "model"), tmp_path / "model.onnx").path
    found = Scorer(path).score(threes[:20]).scores
    np.testing.assert_allclose(found, detector.anomaly_score(threes[:20]), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("head", ["ellipsoid", "neighbors", "mixture", "adaptive"])
def test_the_soft_boundary_is_placed_on_the_distances_it_is_trained_with(threes, head):
    options = {"objective": "soft-boundary", "nu": 0.2, "radius_update": "epoch"}
    recipe = {
        "pretrain": {"epochs": 1}, "train": {"epochs": 4, "batch_size": 50},
        "radius_every": 1, "radius_warm_up": 0,
    }  # fmt: skip
    settings = SETTINGS | {"epochs": None, "pretrain_epochs": None, "batch_size": None}
    both = [
        DeepSVDD(**settings | {"recipe": recipe, "head": one}, **options).fit(threes)
        for one in ("center", head)
    ]
    plain, other = ([r["radius"] for r in d.history_ if "radius" in r] for d in both)
    assert plain == other
    assert both[1].history_[-1]["outside"] == pytest.approx(0.2, abs=0.05)
