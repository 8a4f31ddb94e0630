"""Segmentation of synthetic anomalies: the network, its training, and what it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from insphere.data.perturb import perturb
from insphere.detectors import AnomalySegmentation, load_detector
from insphere.errors import DataError, SpecError
from insphere.nets.place_sphere import PlaceSphere
from insphere.nets.segmenter import AnomalySegmenter, SegmentationNet, output_stride
from insphere.preprocess.pipeline import Preprocessor, parse_steps
from insphere.training.callbacks import Callback
from insphere.training.recipe import Phase
from insphere.training.segmentation import DamagedImages, SegmentationSpec, relit

SMALL = {
    "widths": (4, 8, 16), "contamination": 0.05,
    "device": "cpu", "precision": "float32", "random_state": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def weave() -> np.ndarray:
    """Sixty photographs of a woven texture, 40×48, each with its own exposure and place."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :48]
    shift = rng.uniform(0, 2 * np.pi, (2, 60, 1, 1))
    texture = (
        np.sin(y / 1.5 + shift[0]) + np.sin(x / 2 + shift[1]) + 0.3 * rng.normal(size=(60, 40, 48))
    )
    bright = rng.uniform(0.4, 1.2, (60, 1, 1))
    return np.clip((110 + 25 * texture) * bright, 0, 255).astype(np.uint8)[..., None]


def spec(**settings) -> SegmentationSpec:
    steps = parse_steps([{"step": "gcn", "norm": "l2"}])
    phase = Phase(epochs=1, batch_size=8)
    return SegmentationSpec(kinds=("spots",), preprocess=steps, phase=phase, **settings)


def test_the_output_is_as_wide_as_the_stride_says() -> None:
    for size in ((8, 8), (33, 41), (50, 70), (101, 128)):
        stride = output_stride(*size)
        net = SegmentationNet(3, (4, 8, 8), stride).eval()
        out = net(torch.zeros(2, 3, *size))
        assert out.shape == (2, *(-(-side // stride) for side in size))


def test_the_score_is_the_mean_of_the_highest_places() -> None:
    net = SegmentationNet(1, (4, 8, 8), 1).eval()
    segmenter = AnomalySegmenter(Preprocessor((), (1, 10, 10)), net, 0.03).eval()
    x = torch.rand(4, 1, 10, 10)
    with torch.no_grad():
        places = segmenter.places(x).flatten(1).sort(dim=1).values
        torch.testing.assert_close(segmenter(x), places[:, -3:].mean(dim=1))
        heat = segmenter.heat(x)
    torch.testing.assert_close(heat.flatten(1).sort(dim=1).values, (1 + places.exp()).log())


def test_odds_of_a_sphere_are_the_objective_of_its_distances() -> None:
    """Their cross-entropy is h for normal and −log(1 − exp(−h)) for damaged places."""
    sphere = PlaceSphere(2).double()
    with torch.no_grad():
        sphere.represent.weight.copy_(torch.eye(2)[:, :, None, None])
        sphere.center.copy_(torch.tensor([1.0, -1.0]))
    # d² is 0.0001, 3, 80 and 9,999, so that h is 0.00005, 1, 8 and 99.
    far = torch.tensor([0.01, 3**0.5, 80**0.5, 9999**0.5], dtype=torch.double)
    features = torch.stack([1 + far, torch.full_like(far, -1)])[None, :, None]
    features.requires_grad_()
    h = torch.tensor([math.sqrt(1.0001) - 1, 1.0, 8.0, 99.0], dtype=torch.double)
    odds = sphere(features)[0, 0, 0]
    torch.testing.assert_close(sphere.distances(features)[0, 0], h)
    torch.testing.assert_close(F.softplus(odds), h)
    for label, loss in ((0.0, h), (1.0, -torch.log(-torch.expm1(-h)))):
        labels = torch.full_like(odds, label)
        found = F.binary_cross_entropy_with_logits(odds, labels, reduction="none")
        torch.testing.assert_close(found, loss, atol=1e-9, rtol=1e-6)
        (gradient,) = torch.autograd.grad(found.sum(), features, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert (gradient[0, 0, 0] * (1 - 2 * label) >= 0).all()  # drawn in or pushed away
    at_center = sphere(torch.tensor([1.0, -1.0], dtype=torch.double).reshape(1, 2, 1, 1))
    assert torch.isfinite(at_center).all()


def test_the_sphere_starts_around_normal_places() -> None:
    sphere = PlaceSphere(4)
    features = torch.rand(3, 4, 5, 6) + torch.arange(4.0)[:, None, None]
    sphere.start(features)
    z = sphere.represent(features)
    torch.testing.assert_close(z.mean(dim=(0, 2, 3)), sphere.center)
    usual = math.log1p(math.exp(-3))
    squared = (z - sphere.center[:, None, None]).square().sum(dim=1).mean()
    assert float((squared.detach() + 1).sqrt() - 1) == pytest.approx(usual, rel=1e-4)


def test_three_quarters_are_damaged_and_the_labels_say_where(weave) -> None:
    settings = spec(crop=32, harmless=0.0, flips=False, strengths=(0.9, 1.0))
    clean = Preprocessor((), (1, 40, 48))
    samples = DamagedImages(weave, settings, clean, 2, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    (batch, *_) = samples.batches(20, generator)
    assert batch.x.shape == (20, 1, 32, 32)
    assert batch.labels is not None
    assert batch.labels.shape == (20, 16, 16)
    assert set(batch.labels.unique().tolist()) == {0.0, 1.0}
    assert 13 <= int(batch.labels.amax(dim=(1, 2)).sum()) <= 15
    (same, *_) = samples.batches(20, torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.x, same.x, rtol=0, atol=0)


def test_relit_changes_whole_images_only(weave) -> None:
    out = relit(weave, 0.25, np.random.default_rng(0))
    for before, after in zip(weave[:5], out[:5], strict=True):
        order = np.argsort(before.ravel(), kind="stable")
        assert (np.diff(after.ravel()[order].astype(int)) >= 0).all()  # a monotone curve
    np.testing.assert_array_equal(relit(weave, 0.0, np.random.default_rng(0)), weave)


@pytest.mark.slow
@pytest.mark.parametrize("last", ["odds", "sphere"])
def test_it_finds_damage_of_kinds_that_it_never_saw(weave, last) -> None:
    """Spots and patches are trained on; stickers and strokes of a pen are found."""
    kinds = ["spots", "cut-paste", "foreign-texture", "shading"]
    detector = AnomalySegmentation(kinds=kinds, last=last, epochs=60, **SMALL).fit(weave[:40])
    for kind, bar in (("stickers", 0.9), ("graffiti", 0.9)):
        damaged = perturb(weave[40:], kind, 2, seed=1)
        images = np.concatenate([weave[40:], damaged.images])
        truth = np.repeat([0, 1], 20)
        assert roc_auc_score(truth, detector.anomaly_score(images)) > bar
        maps = detector.anomaly_map(damaged.images)
        assert maps.shape == damaged.masks.shape
        assert maps.min() >= 0
        assert roc_auc_score(damaged.masks.ravel(), maps.ravel()) > 0.75  # chance is 0.5
    first, last = detector.history_[0], detector.history_[-1]
    assert last["loss"] < 0.75 * first["loss"]
    assert last["overlap"] > 0.2  # all places together would be 0.15
    # An exposure that was never seen is no damage.
    dark = (weave[40:] * 0.5).astype(np.uint8)
    changed = detector.anomaly_score(dark) - detector.anomaly_score(weave[40:])
    assert abs(changed.mean()) < detector.anomaly_score(damaged.images).std()


class Stop(Callback):
    def epoch_end(self, record) -> None:
        if record["epoch"] == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("last", ["odds", "sphere"])
def test_it_goes_on_where_it_was_stopped_and_is_the_same_after_saving(
    weave, tmp_path, last
) -> None:
    whole = AnomalySegmentation(epochs=3, last=last, **SMALL).fit(weave)
    stopped = AnomalySegmentation(
        epochs=3, last=last, checkpoint_dir=tmp_path / "steps", callbacks=[Stop()], **SMALL
    )
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(weave)
    stopped.callbacks = ()
    stopped.fit(weave)
    scores = whole.anomaly_score(weave)
    np.testing.assert_array_equal(stopped.anomaly_score(weave), scores)
    assert scores.std() > 0
    assert whole.guard_findings_[0].startswith("No sign of collapse")
    whole.save(tmp_path / "model")
    again = load_detector(tmp_path / "model")
    np.testing.assert_array_equal(again.anomaly_score(weave), scores)
    np.testing.assert_array_equal(again.anomaly_map(weave[:3]), whole.anomaly_map(weave[:3]))
    assert again.spec_ == whole.spec_


def test_floats_are_trained_on_too(weave) -> None:
    detector = AnomalySegmentation(epochs=1, **SMALL).fit((weave / 255).astype(np.float32))
    assert np.isfinite(detector.anomaly_score((weave / 255).astype(np.float32))).all()


def test_mistakes_are_said(weave) -> None:
    with pytest.raises(SpecError, match="is none of cut-paste"):
        AnomalySegmentation(kinds=["melting"]).fit(weave)
    with pytest.raises(SpecError, match="last"):
        AnomalySegmentation(last="plane").fit(weave)
    with pytest.raises(SpecError, match="strengths"):
        AnomalySegmentation(strengths=(0.0, 2.0)).fit(weave)
    with pytest.raises(DataError, match="takes images"):
        AnomalySegmentation().fit(np.random.default_rng(0).normal(size=(20, 4)))
