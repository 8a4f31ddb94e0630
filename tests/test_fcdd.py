"""FCDD with anomalies: the losses of the paper, and maps that masks improve."""

import math
import weakref

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import insphere
from insphere.detectors import ConvolutionalSVDD, LabelledFCDD
from insphere.errors import DataError
from insphere.nets import EncoderSpec
from insphere.nets.convolutional_sphere import spread_over
from insphere.training.batch import Batch
from insphere.training.convolutional import PlaceObjective, mean_of
from insphere.training.guard import CollapseGuard, measure
from insphere.training.labelled_places import anomalous_images, place_losses

SETTINGS = {
    "encoder": EncoderSpec(widths=(8, 8), rep_dim=8, kernel=3), "epochs": 20, "lr": 3e-3,
    "pretrain_epochs": 3, "batch_size": 50, "random_state": 0, "precision": "float32",
    "device": "cpu", "contamination": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    """Digits of 16×16; damage is a bright spot in a known place."""
    data = load_digits()
    images = (data.images[data.target == 3] * 12).astype(np.uint8)
    images = np.random.default_rng(1).permutation(images.repeat(2, axis=1).repeat(2, axis=2))
    rng = np.random.default_rng(0)
    damaged, masks = images.copy(), np.zeros(images.shape, bool)
    for image, mask in zip(damaged, masks, strict=True):
        row, column = rng.integers(0, 12, 2)
        mask[row : row + 4, column : column + 4] = True
        image[mask] = 255 - image[mask]
    return images[..., None], damaged[..., None], masks


def test_the_losses_are_those_of_the_paper():
    places = torch.tensor([[[1.0, 3.0]], [[1.0, 3.0]]], dtype=torch.double, requires_grad=True)
    labels = torch.tensor([0, -1])
    loss = place_losses(places, labels)
    far = -math.log(1 - math.exp(-2))
    torch.testing.assert_close(loss, torch.tensor([2.0, far], dtype=torch.double))
    loss.sum().backward()
    pushed = -math.exp(-2) / (1 - math.exp(-2)) / 2
    expected = torch.tensor([[[0.5, 0.5]], [[pushed, pushed]]], dtype=torch.double)
    torch.testing.assert_close(places.grad, expected)


def test_the_losses_of_masks_are_those_of_the_paper():
    rng = np.random.default_rng(0)
    places = torch.from_numpy(rng.random((3, 2, 2)))
    labels = torch.zeros(3, 4, 4)
    labels[1, :2, :3] = -1
    labels[2] = -1
    assert anomalous_images(labels).tolist() == [False, True, True]
    heat = spread_over(places, (4, 4)).numpy()
    inside = heat[1, :2, :3].sum() / 16
    expected = [
        heat[0].mean(),
        (heat[1].sum() / 16 - inside) - math.log(1 - math.exp(-inside)),
        -math.log(1 - math.exp(-heat[2].mean())),
    ]
    np.testing.assert_allclose(place_losses(places, labels), expected)


def test_anomalies_help_and_masks_improve_the_maps(digits, tmp_path):
    images, damaged, masks = digits
    good, shown, truth = images[:100], damaged[100:120], masks[100:120]
    X = np.concatenate([good, shown])
    new = np.concatenate([images[120:], damaged[120:]])
    wrong = np.repeat([0, 1], len(new) // 2)
    by_image = np.repeat([0, -1], [len(good), len(shown)])
    by_pixel = np.zeros(X.shape[:3], int)
    by_pixel[len(good) :][truth] = -1
    found = {
        "none": ConvolutionalSVDD(**SETTINGS).fit(good),
        "images": LabelledFCDD(**SETTINGS).fit(X, by_image),
        "masks": LabelledFCDD(**SETTINGS).fit(X, by_pixel),
    }
    auc = {name: roc_auc_score(wrong, one.anomaly_score(new)) for name, one in found.items()}
    maps = {
        name: roc_auc_score(masks[120:].ravel(), one.anomaly_map(damaged[120:]).ravel())
        for name, one in found.items()
    }
    assert auc["images"] > auc["none"] + 0.02
    assert auc["masks"] > auc["none"] + 0.02
    assert maps["masks"] > maps["none"] + 0.05
    detector = found["masks"]
    assert detector.n_labelled_ == {"normal": 100, "anomalous": 20}
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(new), detector.anomaly_score(new))
    assert loaded.n_labelled_ == detector.n_labelled_


def test_a_few_anomalies_are_shown_as_often_as_normal_images(digits):
    images, damaged, _ = digits
    few = SETTINGS | {"epochs": 2}
    X, y = np.concatenate([images[:50], damaged[50:60]]), np.repeat([0, -1], [50, 10])
    often = np.concatenate([images[:50], *[damaged[50:60]] * 5])
    balanced = LabelledFCDD(**few).fit(X, y)
    by_hand = LabelledFCDD(balanced=False, **few).fit(often, np.repeat([0, -1], [50, 50]))
    once = LabelledFCDD(balanced=False, **few).fit(X, y)
    scores = balanced.anomaly_score(images)
    np.testing.assert_array_equal(scores, by_hand.anomaly_score(images))
    assert not np.array_equal(scores, once.anomaly_score(images))
    assert balanced.n_labelled_ == once.n_labelled_ == {"normal": 50, "anomalous": 10}


def test_without_labels_it_is_the_convolutional_svdd(digits):
    few = SETTINGS | {"epochs": 2}
    plain, labelled = (one(**few).fit(digits[0][:60]) for one in (ConvolutionalSVDD, LabelledFCDD))
    scores = [one.anomaly_score(digits[0]) for one in (plain, labelled)]
    np.testing.assert_array_equal(*scores)


def test_the_threshold_uses_no_anomaly(digits):
    images, damaged, _ = digits
    X, y = np.concatenate([images[:100], damaged[100:120]]), np.repeat([0, -1], [100, 20])
    few = SETTINGS | {"epochs": 2, "contamination": None, "false_alarm_rate": 0.05}
    detector = LabelledFCDD(**few, calibration=0.4).fit(X, y)
    assert detector.n_calibration_ == 40
    parts = LabelledFCDD(**few | {"false_alarm_rate": None}).fit(X[60:], y[60:])  # cross-validated
    assert np.isfinite(parts.threshold_)


@pytest.mark.parametrize(
    ("y", "why"),
    [
        (np.full(20, -1), "nothing is normal"),
        (np.full(20, 2), "y holds 0 or 1"),
        (np.zeros((20, 5, 5)), "have the shape"),
        (np.array(["good"] * 20), "y holds 0 or 1"),
    ],
)
def test_labels_that_make_no_sense_are_refused(digits, y, why):
    with pytest.raises(DataError, match=why):
        LabelledFCDD(**SETTINGS).fit(digits[0][:20], y)


def test_an_epoch_keeps_no_representations_of_places_and_measures_all():
    """Those of an epoch of 100,000 small images would take half a gigabyte."""
    torch.manual_seed(0)
    center = torch.randn(3, 2, 2)
    guard = CollapseGuard()
    guard.begin(torch.randn(20, 3) + 2, torch.rand(20))
    objective = PlaceObjective(torch.nn.Identity(), center, guard, nu=0.25)
    batches = [torch.randn(n, 3, 2, 2) + 2 for n in (5, 4, 1)]
    labels = [torch.zeros(5), torch.tensor([0.0, -1, 0, 0]), torch.full((1,), -1.0)]
    for x, y in zip(batches, labels, strict=True):
        objective(Batch(x, y))
    z = torch.cat(batches)[torch.cat(labels) >= 0]
    gone = [weakref.ref(batches.pop()) for _ in range(len(batches))]
    del x
    assert [ref() for ref in gone] == [None] * 3
    distances = (z - center).square().sum(dim=1).flatten()
    found = objective.end_epoch(0)
    assert found["radius"] == pytest.approx(float(distances.kthvalue(24).values.sqrt()))
    assert found["outside"] == 0.25
    wanted = measure(z.movedim(1, -1).flatten(0, 2), distances)
    assert found == pytest.approx(found | wanted)
    assert objective._places.moments.count == 0  # the next epoch begins


def test_the_centre_is_the_mean_of_all_places_of_normal_images():
    batches = [torch.randn(n, 3, 2, 2) for n in (5, 0, 4)]
    torch.testing.assert_close(mean_of(batches), torch.cat(batches).mean(dim=0))
