"""Heat maps say where damage is, on one scale, for every detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from insphere.data.perturb import perturb
from insphere.detectors import (
    AnoGAN,
    ConvolutionalSVDD,
    DeepCAE,
    DeepSVDD,
    IsolationForestDetector,
    KDEDetector,
    KNNDetector,
    MahalanobisDetector,
    OCSVMDetector,
    SoftmaxThreshold,
    load_detector,
)
from insphere.errors import CollapseError, DataError, SpecError
from insphere.explain import (
    deletion_and_insertion,
    heat_maps,
    heat_method,
    heat_scale,
    latent_contributions,
    localisation,
    nearest_normals,
)
from insphere.nets import EncoderSpec
from insphere.nets.convolutional_sphere import pseudo_huber, spread_over

SMALL = EncoderSpec(widths=(8, 8), rep_dim=8, kernel=3)
QUICK: dict[str, Any] = {
    "epochs": 6, "batch_size": 50, "random_state": 0, "precision": "float32", "contamination": 0.05
}  # fmt: skip
DETECTORS: dict[str, Any] = {
    "knn": KNNDetector(contamination=0.05),
    "kde": KDEDetector(contamination=0.05),
    "oc-svm": OCSVMDetector(contamination=0.05),
    "mahalanobis": MahalanobisDetector(contamination=0.05),
    "isolation-forest": IsolationForestDetector(
        n_estimators=30, random_state=0, contamination=0.05
    ),
    "dcae": DeepCAE(encoder=SMALL, lr=1e-2, **QUICK | {"epochs": 15}),
    "deep-svdd": DeepSVDD(recipe="fast", encoder=SMALL, pretrain_epochs=4, **QUICK),
    "fcdd": ConvolutionalSVDD(encoder=SMALL, pretrain_epochs=4, lr=1e-3, **QUICK),
    "anogan": AnoGAN(train_steps=20, search_steps=5, width=8, random_state=0, contamination=0.05),
}


@pytest.fixture(scope="module")
def zeros() -> np.ndarray:
    data = load_digits()
    images = (data.images[data.target == 0] * 15.9375).astype(np.uint8)
    return np.kron(images, np.ones((1, 2, 2), dtype=np.uint8))[..., None]


@pytest.fixture(scope="module")
def fitted(zeros: np.ndarray) -> dict[str, Any]:
    return {name: detector.fit(zeros[:120]) for name, detector in DETECTORS.items()}


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_shows_where_a_patch_covers_the_image(name, fitted, zeros) -> None:
    damaged = perturb(zeros[120:150], "occlusion", 3, seed=1)
    detector = fitted[name]
    maps = heat_maps(detector, damaged.images, reference=zeros[:120])
    assert maps.shape == (30, 16, 16)
    assert maps.dtype == np.float32
    assert (maps >= 0).all()
    assert np.isfinite(maps).all()
    if name != "anogan":  # which takes more steps than a test has to imitate an image
        assert localisation(maps, damaged.masks).pixel_auc > 0.55
    expected = {"deep-svdd": "integrated-gradients", "isolation-forest": "occlusion"}.get(
        name, "own"
    )
    assert heat_method(detector) == expected
    # One image alone gets the same map: nothing is scaled by what stands beside it.
    if expected == "own" and name != "anogan":
        alone = heat_maps(detector, damaged.images[:1])
        np.testing.assert_allclose(alone[0], maps[0], rtol=1e-3, atol=1e-5 * maps.max())


def test_maps_that_sum_to_the_score(fitted, zeros) -> None:
    error = fitted["dcae"].anomaly_map(zeros)
    np.testing.assert_allclose(
        error.sum(axis=(1, 2)), fitted["dcae"].anomaly_score(zeros), rtol=1e-4
    )
    added = latent_contributions(fitted["deep-svdd"], zeros)
    assert added.shape == (len(zeros), 8)
    np.testing.assert_allclose(
        added.sum(axis=1), fitted["deep-svdd"].anomaly_score(zeros), rtol=1e-4
    )
    with pytest.raises(SpecError, match="KNNDetector has no centre"):
        latent_contributions(fitted["knn"], zeros)


def test_distance_maps_by_hand(zeros) -> None:
    detector = KNNDetector(n_neighbors=1, normalize=None, contamination=0.05).fit(zeros[:50])
    maps = detector.anomaly_map(zeros[50:60])
    pixels = zeros.reshape(len(zeros), -1) / 255
    for row, image in enumerate(pixels[50:60]):
        nearest = pixels[:50][((pixels[:50] - image) ** 2).sum(axis=1).argmin()]
        np.testing.assert_allclose(maps[row].ravel(), (image - nearest) ** 2, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(
        maps.sum(axis=(1, 2)), detector.anomaly_score(zeros[50:60]) ** 2, rtol=1e-5
    )


def test_gradients_by_hand_and_completeness_of_integrated_ones(fitted, zeros) -> None:
    detector = fitted["deep-svdd"]
    x = torch.from_numpy(zeros[:3]).permute(0, 3, 1, 2).float() / 255
    x.requires_grad_()
    detector.sphere_(x).sum().backward()
    by_hand = (x * x.grad).abs().sum(dim=1).detach().numpy()
    np.testing.assert_allclose(heat_maps(detector, zeros[:3], "gradient"), by_hand, rtol=1e-4)
    damaged = perturb(zeros[:20], "occlusion", 4).images
    positive = heat_maps(detector, damaged, "integrated-gradients", reference=zeros)
    mean = (zeros / 255).mean(axis=0, keepdims=True).astype(np.float32)
    gain = detector.anomaly_score(damaged) - detector.anomaly_score(mean)
    # Only the pixels that raise the score are kept, so they sum to no less than the difference.
    assert (positive.sum(axis=(1, 2)) > 0.9 * gain).all()


def test_occlusion_asks_for_scores_alone(fitted, zeros) -> None:
    damaged = perturb(zeros[120:140], "occlusion", 3, seed=2)
    maps = heat_maps(fitted["deep-svdd"], damaged.images, "occlusion", reference=zeros)
    assert localisation(maps, damaged.masks).pixel_auc > 0.6
    softmax = SoftmaxThreshold(encoder=SMALL, **QUICK)
    target = np.arange(len(zeros)) % 2
    shifted = np.where(target[:, None, None, None] == 1, 255 - zeros, zeros)
    maps = heat_maps(softmax.fit(shifted, target), damaged.images)
    assert maps.shape == (20, 16, 16)
    assert maps.max() > 0


def test_one_colour_scale_for_all(zeros, fitted) -> None:
    normal = heat_maps(fitted["knn"], zeros[120:])
    damaged = heat_maps(fitted["knn"], perturb(zeros[120:], "stickers", 5).images)
    scale = heat_scale(normal, np.concatenate([normal, damaged]), rate=0.1)
    assert (normal.max(axis=(1, 2)) > scale.threshold).mean() <= 0.1
    assert scale.top > scale.threshold
    assert (damaged.max(axis=(1, 2)) > scale.threshold).mean() > 0.5
    dark = heat_scale(np.zeros((3, 2, 2)), np.zeros((0, 2, 2)))
    assert dark.top > dark.threshold == 0
    with pytest.raises(DataError, match="at least one normal"):
        heat_scale(np.empty((0, 2, 2)), normal)


def test_deletion_and_insertion_prefer_a_good_map(zeros, fitted) -> None:
    detector, damaged = fitted["knn"], perturb(zeros[120:], "occlusion", 4)
    good = heat_maps(detector, damaged.images)
    bad = np.random.default_rng(0).random(good.shape)
    curves = [
        deletion_and_insertion(detector, damaged.images, maps, zeros[:120], steps=8)
        for maps in (good, bad)
    ]
    for found in curves:
        assert found.share.tolist() == np.linspace(0, 1, 9).tolist()
        np.testing.assert_allclose(found.deletion[[0, -1]], [1, 0], atol=1e-4)
        np.testing.assert_allclose(found.insertion[[0, -1]], [0, 1], atol=1e-4)
    assert curves[0].deletion_area < curves[1].deletion_area
    mean = zeros[:120].mean(axis=0, keepdims=True).astype(np.float32) / 255
    with pytest.raises(DataError, match="No image scores above"):
        deletion_and_insertion(detector, mean, np.ones((1, 16, 16)), zeros[:120])


def test_localisation_by_hand() -> None:
    masks = np.array([[[True, False], [False, False]], [[False, True], [True, False]]])
    maps = np.array([[[0.9, 0.1], [0.2, 0.3]], [[0.8, 0.5], [0.1, 0.2]]])
    found = localisation(maps, masks)
    # First image: all three pairs right. Second: (0.5 > 0.2) alone of four.
    assert found.pixel_auc == pytest.approx((1 + 1 / 4) / 2)
    assert found.pointing == 0.5
    assert found.damaged == pytest.approx(3 / 8)
    with pytest.raises(DataError, match="damaged and undamaged"):
        localisation(maps, np.ones_like(masks))
    with pytest.raises(DataError, match="shape N×H×W"):
        localisation(maps[0], masks)


def test_nearest_normals(zeros, fitted) -> None:
    for name in ("knn", "deep-svdd"):
        found = nearest_normals(fitted[name], zeros[5:8], zeros[:50], k=2)
        assert found.index[:, 0].tolist() == [5, 6, 7]
        np.testing.assert_allclose(found.distance[:, 0], 0, atol=1e-4)
        assert (found.distance[:, 1] >= found.distance[:, 0]).all()
    with pytest.raises(SpecError, match="k lies between 1 and the 50"):
        nearest_normals(fitted["knn"], zeros[:1], zeros[:50], k=51)


def test_wrong_requests_are_one_sentence(zeros, fitted) -> None:
    with pytest.raises(SpecError, match="Unknown heat map 'smoke'; use one of auto, own"):
        heat_maps(fitted["knn"], zeros, "smoke")
    with pytest.raises(SpecError, match="IsolationForestDetector has no map of its own"):
        heat_maps(fitted["isolation-forest"], zeros, "own")
    with pytest.raises(SpecError, match="KNNDetector has no single network"):
        heat_maps(fitted["knn"], zeros, "gradient")
    table = KNNDetector(contamination=0.05).fit(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises(DataError, match="Only images have heat maps"):
        heat_maps(table, np.zeros((2, 3)))


# ---------------------------------------------------------------------- the convolutional sphere


def test_pseudo_huber_and_enlargement_by_hand() -> None:
    np.testing.assert_allclose(pseudo_huber(torch.tensor([0.0, 3.0, 99.0])), [0.0, 1.0, 9.0])
    flat = spread_over(torch.full((2, 3, 4), 1.5), (30, 20))
    assert flat.shape == (2, 30, 20)
    np.testing.assert_allclose(flat, 1.5, rtol=1e-6)
    one = torch.zeros(1, 4, 4)
    one[0, 1, 2] = 1
    heat = spread_over(one, (16, 16))[0]
    top, left = divmod(int(heat.argmax()), 16)
    assert 4 <= top < 8
    assert 8 <= left < 12


def test_convolutional_sphere_learns_and_survives_saving(tmp_path: Path) -> None:
    data = load_digits()
    images = (data.images * 15.9375).astype(np.uint8)[..., None]
    train, normal = images[data.target == 0][:120], images[data.target == 0][120:]
    other = images[data.target != 0][:300]
    detector = ConvolutionalSVDD(
        encoder=SMALL, pretrain_epochs=20, lr=1e-3, false_alarm_rate=0.1, **QUICK | {"epochs": 20}
    ).fit(train)
    score = detector.anomaly_score(np.concatenate([normal, other]))
    truth = np.arange(len(score)) >= len(normal)
    assert roc_auc_score(truth, score) > 0.9
    losses = [row["loss"] for row in detector.history_ if row["phase"] == "train"]
    assert losses[-1] < 0.7 * losses[0]
    assert len(np.unique(score)) > 0.95 * len(score)
    assert detector.guard_findings_[0].startswith("No sign of collapse")
    loaded = load_detector(detector.save(tmp_path / "model"))
    for method in ("anomaly_score", "anomaly_map", "severity"):
        ours, theirs = (getattr(d, method)(other) for d in (detector, loaded))
        assert ours.tobytes() == theirs.tobytes()
    again = loaded.save(tmp_path / "again")
    for file in ("weights.safetensors", "detector.json"):
        assert (again / file).read_bytes() == (tmp_path / "model" / file).read_bytes()


def test_convolutional_sphere_refuses_what_collapses_or_has_no_map(zeros) -> None:
    biased = EncoderSpec(widths=(4,), rep_dim=4, bias=True)
    with pytest.raises(CollapseError, match="learns a bias"):
        ConvolutionalSVDD(encoder=biased, **QUICK).fit(zeros)
    with pytest.raises(SpecError, match="encoders of kind lenet, not resnet18"):
        ConvolutionalSVDD(encoder="resnet18", pretrain_epochs=0, **QUICK).fit(zeros[:4])
    attention = EncoderSpec(widths=(4,), rep_dim=4, attention="self")
    with pytest.raises(SpecError, match="Self-attention mixes all positions"):
        ConvolutionalSVDD(encoder=attention, pretrain_epochs=0, **QUICK).fit(zeros)
    with pytest.raises(DataError, match="takes images, but got a table"):
        ConvolutionalSVDD(**QUICK).fit(zeros.reshape(len(zeros), -1).astype(float))
