import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from insphere import DeepSVDD, load_dataset
from insphere.attacks import boundary_attack, fool
from insphere.attacks.pgd import descend
from insphere.detectors import KNNDetector
from insphere.errors import DataError, SpecError


class Linear(nn.Module):
    """Score w · x of images of 1×1×C, for pixels between 0 and 255."""

    def __init__(self, *weights):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(weights) / 1.0)

    def forward(self, x):
        return (x[:, :, 0, 0] * 255 * self.w).sum(dim=1)


def pixel(*values):
    return np.array(values, np.uint8).reshape(1, 1, 1, -1)


def test_steps_go_against_the_gradient_as_far_as_allowed():
    # The gradient is (3, -4, 0) everywhere: each value moves by ε against its sign, and not at all
    # where it is 0; in L2 the change is -ε (3, -4, 0) / 5.
    module = Linear(3.0, -4.0, 0.0)
    found = descend(module, pixel(100, 100, 100), norm="linf", epsilon=6, steps=20)
    assert found.ravel().tolist() == [94, 106, 100]
    found = descend(module, pixel(100, 100, 100), norm="l2", epsilon=10.01, steps=20)
    assert found.ravel().tolist() == [94, 108, 100]
    # Black stays black: the box ends there.
    found = descend(module, pixel(2, 250, 0), norm="linf", epsilon=6, steps=20)
    assert found.ravel().tolist() == [0, 255, 0]


def test_the_lowest_score_on_the_way_is_kept():
    class Valley(nn.Module):  # lowest at a value of 103, between two steps
        def forward(self, x):
            return (x[:, 0, 0, 0] * 255 - 103.0) ** 2

    found = descend(Valley(), pixel(100), norm="linf", epsilon=8, steps=4)
    assert found.item() == 105  # five levels a step: 100, 105, 100, 105, 100


@pytest.fixture(scope="module")
def sphere():
    digits = load_dataset("digits-8x8")
    threes = np.asarray(digits.images[digits.labels == 3])
    others = np.asarray(digits.images[digits.labels != 3])[:40]
    detector = DeepSVDD(
        recipe="fast", epochs=3, pretrain_epochs=3, random_state=0, contamination=0.05
    ).fit(threes)
    return detector, others


@settings(max_examples=12, deadline=None)
@given(norm=st.sampled_from(["linf", "l2"]), epsilon=st.floats(0, 300), start=st.integers(0, 30))
def test_a_change_stays_within_its_bound_and_never_raises_the_score(sphere, norm, epsilon, start):
    detector, others = sphere
    images = others[start : start + 6]
    found = fool(detector, images, norm=norm, epsilon=epsilon, steps=4)
    change = found.images.astype(float) - images
    size = np.abs(change) if norm == "linf" else np.sqrt((change**2).sum(axis=(1, 2, 3)))
    assert size.max() <= epsilon + 1e-3
    assert (found.after <= found.before).all()
    np.testing.assert_array_equal(found.after, detector.anomaly_score(found.images))


def test_a_larger_bound_fools_a_trained_network_more(sphere):
    detector, others = sphere
    left = [fool(detector, others, epsilon=e, steps=15).after.mean() for e in (0, 8, 32)]
    assert left[2] < 0.7 * left[1] < 0.7 * left[0]


def test_what_cannot_be_attacked_is_said(sphere):
    detector, others = sphere
    with pytest.raises(SpecError, match="no single network"):
        fool(KNNDetector(contamination=0.05).fit(others), others)
    with pytest.raises(SpecError, match="norm is"):
        fool(detector, others, norm="l1")
    with pytest.raises(DataError, match="uint8"):
        fool(detector, others / 255.0)


class Bright(nn.Module):
    """Two classes: dark, and bright from a mean of 0.5 on."""

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


def test_the_boundary_attack_ends_near_the_image_on_the_other_side():
    pytest.importorskip("foolbox")
    rng = np.random.default_rng(0)
    dark = rng.integers(60, 110, (4, 4, 4, 3)).astype(np.uint8)
    bright = rng.integers(150, 250, (4, 4, 4, 3)).astype(np.uint8)
    few, many = (boundary_attack(Bright().eval(), dark, bright, steps=n, seed=1) for n in (30, 600))
    for found in (few, many):
        assert (found.mean(axis=(1, 2, 3)) > 127.5).all()  # as whole pixels
    # The nearest bright image is as many levels brighter everywhere.
    nearest = np.sqrt(48) * (127.5 - dark.mean(axis=(1, 2, 3)))
    distance = [np.sqrt(((f - dark.astype(float)) ** 2).sum(axis=(1, 2, 3))) for f in (few, many)]
    assert (distance[1] < distance[0]).all()
    assert (distance[1] < 1.15 * nearest).all()
    np.testing.assert_array_equal(
        many, boundary_attack(Bright().eval(), dark, bright, steps=600, seed=1)
    )
    with pytest.raises(DataError, match="4 of 4 starting images"):
        boundary_attack(Bright().eval(), dark, dark, steps=1)
