"""The discriminator of patches: its labels, its noise, its training, and what it finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from insphere.data.letterbox import content_size, on_canvas
from insphere.detectors import PatchDiscriminator, load_detector
from insphere.detectors.pretrained.patch_discriminator import damaged_photos
from insphere.errors import DataError, SpecError
from insphere.features import Form
from insphere.nets.discriminator import DiscriminatorNet
from insphere.training.batch import Batch
from insphere.training.callbacks import Callback
from insphere.training.discriminator import DiscriminatorSpec, LabelledPatches, PatchEntropy
from insphere.training.guard import CollapseGuard
from insphere.training.recipe import Phase
from textures import dataset

QUICK = {
    "weights": "random",
    "random_state": 0,
    "precision": "float32",
    "contamination": 0.05,
    "scale": 1.0,
    "stages": ["s3", "s4"],
    "copies": 1,
    "epochs": 3,
    "batch_size": 64,
}


def photos(n: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(60, 190, (n, height, width, 1), dtype=np.uint8)


def spec(**settings) -> DiscriminatorSpec:
    return DiscriminatorSpec(
        **{"kinds": ("spots",), "phase": Phase(epochs=1, batch_size=64), **settings}
    )


def network(*sizes: int) -> DiscriminatorNet:
    return DiscriminatorNet(sizes, (), 0.0, 1e-6)


def test_half_of_a_batch_is_anomalous_and_noise_is_as_strong_as_said() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 6)).astype(np.float16)
    damaged = np.arange(4000) % 4 == 0
    rows[damaged] += 50
    net = network(6)
    net.fit_whitening(rows[~damaged].astype(np.float32))
    settings = spec(off=0.5, noise=(2.0, 2.0), jitter=0.0)
    patches = LabelledPatches(rows, damaged, net, settings, torch.device("cpu"))
    (batch,) = patches.batches(4000, torch.Generator().manual_seed(0))
    assert batch.labels is not None
    assert batch.labels.tolist() == [1.0] * 2000 + [0.0] * 2000
    assert bool((batch.x[:1000] == 10).all())  # damage is cut off at ten standard deviations
    # Whitened features have the variance 1, and the noise adds 2².
    assert float(batch.x[1000:2000].var()) == pytest.approx(1 + 4, rel=0.1)
    assert float(batch.x[2000:].var()) == pytest.approx(1, rel=0.1)
    (same,) = patches.batches(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.x, same.x, rtol=0, atol=0)


def test_the_distances_are_those_of_mahalanobis_in_each_stage() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5)) + 3).astype(np.float32)
    net = network(2, 3)
    net.fit_whitening(rows)
    expected = []
    for part in (rows[:, :2].astype(float), rows[:, 2:].astype(float)):
        off = part - part.mean(axis=0)
        inverse = np.linalg.inv(np.cov(part.T, bias=True))
        expected.append(np.log(np.einsum("nc,cd,nd->n", off, inverse, off) / part.shape[1]))
    far = np.stack(expected, axis=1)
    far = (far - far.mean(axis=0)) / far.std(axis=0)
    with torch.no_grad():
        white = net.whitened(torch.from_numpy(rows))
        np.testing.assert_allclose(net.distances(white), far, rtol=0.01, atol=0.01)
        # Without hidden layers, half the sum of the distances is what is added to a linear map.
        linear = net.last(torch.cat([white, net.distances(white)], dim=1))[:, 0]
        direct = net(torch.from_numpy(rows)) - linear
    np.testing.assert_allclose(direct, far.sum(axis=1) / 2, rtol=0.01, atol=0.02)


def test_the_loss_is_the_cross_entropy_with_its_gradient() -> None:
    net = network(3)
    objective = PatchEntropy(net, CollapseGuard())
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 0])
    hidden, far = net.hidden(x)
    z = net.logits(hidden, far).detach()
    loss = objective(Batch(x, labels=labels))
    expected = torch.log1p(torch.exp(z)) - labels * z
    torch.testing.assert_close(loss.detach(), expected.mean())
    loss.backward()
    # d loss / d z = σ(z) − y
    torch.testing.assert_close(net.last.weight.grad[0], (torch.sigmoid(z) - labels) @ hidden / 8)
    torch.testing.assert_close(net.direct.weight.grad[0], (torch.sigmoid(z) - labels) @ far / 8)


def test_a_patch_is_damaged_if_one_of_its_pixels_is() -> None:
    detector = PatchDiscriminator(**QUICK).fit(photos(8, 64, 48))
    assert detector.form_.shape == (8, 6)
    masks = np.zeros((2, 64, 48), bool)
    masks[0, 20, 29] = True
    found = detector._hurt(masks).reshape(2, 8, 6)
    # Positions of this network lie half a patch further: the patch 2 sees the pixels 20 to 27.
    assert np.argwhere(found).tolist() == [[0, 2, 3]]


def test_photographs_are_damaged_inside_and_not_in_what_pads_them() -> None:
    small = photos(6, 40, 30)
    canvas = np.stack([on_canvas(one, (64, 64)) for one in small])
    made, masks = damaged_photos(canvas, canvas, spec(), np.random.default_rng(0))
    assert masks.any(axis=(1, 2)).all()
    assert not masks[:, 40:].any()
    assert not masks[:, :, 30:].any()
    assert [content_size(one) for one in made] == [(40, 30)] * 6
    again, _ = damaged_photos(canvas, canvas, spec(), np.random.default_rng(0))
    np.testing.assert_array_equal(made, again)


class Stop(Callback):
    def epoch_end(self, record) -> None:
        if record["epoch"] == 2:
            raise KeyboardInterrupt


def test_it_goes_on_where_it_was_stopped_and_is_the_same_after_saving(tmp_path: Path) -> None:
    images = np.concatenate(
        [photos(8, 64, 64), np.stack([on_canvas(one, (64, 64)) for one in photos(8, 48, 40, 1)])]
    )
    whole = PatchDiscriminator(**QUICK).fit(images)
    stopped = PatchDiscriminator(checkpoint_dir=tmp_path / "steps", callbacks=[Stop()], **QUICK)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(images)
    stopped.callbacks = ()
    stopped.fit(images)
    scores = whole.anomaly_score(images)
    np.testing.assert_array_equal(stopped.anomaly_score(images), scores)
    assert scores.std() > 0
    assert whole.history_[-1]["loss"] < whole.history_[0]["loss"]
    maps = whole.anomaly_map(images)
    assert maps.min() >= 0
    assert (maps[8:, 48:] == 0).all()  # padding
    whole.save(tmp_path / "model")
    again = load_detector(tmp_path / "model")
    np.testing.assert_array_equal(again.anomaly_score(images), scores)
    np.testing.assert_array_equal(again.anomaly_map(images), maps)
    module = whole.scoring_module()
    batch = torch.from_numpy(images[:4].transpose(0, 3, 1, 2).copy())
    np.testing.assert_allclose(module(batch).detach(), scores[:4], rtol=1e-3, atol=1e-4)


def test_a_few_photographs_at_a_time_have_the_same_scores(monkeypatch) -> None:
    images = photos(10, 64, 64)
    detector = PatchDiscriminator(places="border", **QUICK).fit(images)
    scores = detector.anomaly_score(images)
    monkeypatch.setattr("insphere.detectors.pretrained.patch_detector.VALUE_BYTES", 1 << 21)
    assert detector._at_once(images) < 10
    np.testing.assert_allclose(detector.anomaly_score(images), scores, rtol=1e-5)


@pytest.mark.slow
def test_it_finds_damage_of_kinds_that_it_never_saw() -> None:
    """Pretrained features of textures with scratches, blobs and missing parts, and their maps."""
    train, test, masks, kinds = dataset(24, 12, size=96)
    detector = PatchDiscriminator(
        kinds=["cut-paste", "shading", "fold", "roughness"], copies=2, epochs=25,
        scale=2.0, precision="float32", contamination=0.05, smoothing=4.0, random_state=0,
    ).fit(train)  # fmt: skip
    bad = np.array([kind != "good" for kind in kinds])
    assert roc_auc_score(bad, detector.anomaly_score(test)) > 0.9
    maps = detector.anomaly_map(test)
    assert roc_auc_score(masks.ravel() > 0, maps.ravel()) > 0.85  # chance is 0.5


def test_mistakes_are_said() -> None:
    images = photos(8, 48, 48)
    with pytest.raises(SpecError, match="is none of cut-paste"):
        PatchDiscriminator(kinds=["melting"]).fit(images)
    with pytest.raises(SpecError, match="noise"):
        PatchDiscriminator(noise=(2.0, 1.0)).fit(images)
    with pytest.raises(DataError, match="takes images"):
        PatchDiscriminator().fit(np.random.default_rng(0).normal(size=(20, 4)))


def test_the_form_takes_the_stages_from_stride_eight_on() -> None:
    detector = PatchDiscriminator(**{**QUICK, "stages": None}).fit(photos(6, 64, 64))
    assert detector.form_ == Form("patches", ("s3", "s4", "s5", "s6"), 1, 8, None, 8, 8)
