"""Synthetic anomalies: only where the mask says, repeatable, growing with their strength."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from insphere.errors import DataError, SpecError
from insphere.synthetic_anomalies import KINDS, mixed, synthesize
from insphere.synthetic_anomalies.crack import wander
from insphere.synthetic_anomalies.cut_paste import pasted
from insphere.synthetic_anomalies.regions import blotch, gradient_noise, rectangle, smooth_step
from insphere.synthetic_anomalies.synthesize import VISIBLE


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    digits = (load_digits().images[:12] * 12 + 40).astype(np.uint8)
    return np.kron(digits, np.ones((1, 7, 6), dtype=np.uint8))[..., None]


@pytest.fixture(scope="module")
def colour(grey: np.ndarray) -> np.ndarray:
    return np.concatenate([grey, 255 - grey, grey // 2 + 40], axis=3)


@pytest.mark.parametrize("kind", KINDS)
def test_images_change_where_the_mask_says_and_nowhere_else(kind, grey, colour) -> None:
    for images in (grey, colour):
        before = images.copy()
        found = synthesize(images, kind, 0.8, seed=3)
        np.testing.assert_array_equal(images, before)
        assert found.images.dtype == np.uint8
        assert found.images.shape == images.shape
        assert found.masks.shape == images.shape[:3]
        change = np.abs(found.images.astype(int) - images).max(axis=3)
        np.testing.assert_array_equal(change > 0, found.masks)
        assert change[found.masks].min() >= VISIBLE
        assert found.masks.any(axis=(1, 2)).mean() > 0.9
        assert not found.masks.all(axis=(1, 2)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_repeats_an_anomaly_and_another_seed_does_not(kind, grey) -> None:
    one, same = (synthesize(grey, kind, 0.8, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.images, same.images)
    assert not np.array_equal(one.masks, synthesize(grey, kind, 0.8, seed=6).masks)


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_is_more_of_the_same(kind, grey) -> None:
    """Brightness is far from 0 and 255 here, so that nothing is cut off."""
    images = grey // 3 + 85
    change, area = [], []
    for strength in (0.1, 0.3, 0.6, 1.0):
        found = synthesize(images, kind, strength, seed=2)
        change.append(np.abs(found.images.astype(int) - images).sum())
        area.append(found.masks.sum())
    assert change == sorted(change)
    assert change[-1] > 2 * change[0]
    assert area[0] <= area[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (3, 40), (130, 47)])
def test_any_size_will_do(kind, shape) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, *shape, 3), dtype=np.uint8)
    found = synthesize(images, kind, rng.uniform(0.1, 1, 4), textures=images[:, ::2, ::2])
    assert found.images.shape == images.shape


def test_a_batch_changes_nothing_for_its_first_images(grey) -> None:
    for kind in KINDS:
        whole = synthesize(grey, kind, seed=1, textures=grey)
        part = synthesize(grey[:3], kind, seed=1, textures=grey)
        np.testing.assert_array_equal(part.images, whole.images[:3])


def test_an_image_without_texture_has_nothing_to_fold(grey) -> None:
    flat = np.full((2, 20, 20, 1), 77, dtype=np.uint8)
    found = synthesize(flat, "fold", 1.0)
    assert not found.masks.any()
    np.testing.assert_array_equal(found.images, flat)


def test_mixed_draws_kinds_and_strengths(grey) -> None:
    images = np.repeat(grey, 4, axis=0)
    found = mixed(images, ["spots", "crack"], strengths=(0.5, 1.0), seed=4)
    same = mixed(images, ["spots", "crack"], strengths=(0.5, 1.0), seed=4)
    np.testing.assert_array_equal(found.images, same.images)
    change = np.abs(found.images.astype(int) - images).max(axis=3)
    np.testing.assert_array_equal(change > 0, found.masks)


def test_a_patch_is_what_lies_elsewhere() -> None:
    """With opacity 1 and its brightness undone, the patch is a piece of the image."""
    image = np.arange(400, dtype=np.float32).reshape(20, 20, 1)
    out = pasted(image, (6, 8), 0.0, 1.0, np.random.default_rng(0))
    again = np.random.default_rng(0)
    center = again.uniform([3, 4], [17, 16])
    down, right = np.rint(again.uniform(0.2, 0.8, 2) * 20).astype(int)
    gain = np.float32(again.uniform(0.9, 1.1))
    row, column = center.astype(int)
    source = image[(row - down) % 20, (column - right) % 20, 0]
    assert out[row, column, 0] == pytest.approx(source * gain)


def test_regions_by_hand() -> None:
    square = rectangle((6, 6), (3, 3), (2, 4))
    np.testing.assert_array_equal(square[:, 3], [0, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(square[3], [0, 0, 1, 1, 0, 0])
    turned = rectangle((6, 6), (3, 3), (2, 4), np.pi / 2)
    np.testing.assert_allclose(turned, square.T, atol=1e-6)
    np.testing.assert_allclose(smooth_step(np.float32([-1, 0.5, 2]), 0, 1), [0, 0.5, 1])
    noise = gradient_noise((64, 64), (4, 4), np.random.default_rng(1))
    assert np.abs(noise).max() <= 1
    assert np.abs(noise[15:17, 15:17]).max() < 0.1  # near a corner of its cells
    round_one = blotch((41, 61), (20.5, 30.5), 10, np.random.default_rng(0))
    assert round_one[20, 30] == 1
    assert round_one[0, 0] == 0
    assert 0.6 < round_one.sum() / (np.pi * 100) < 1.6


def test_a_crack_is_as_long_as_asked_and_in_steps_of_half_a_pixel() -> None:
    path, directions = wander((5.0, 5.0), 0.0, 10.0, np.random.default_rng(0))
    assert len(path) == len(directions) == 20
    np.testing.assert_allclose(np.linalg.norm(np.diff(path, axis=0), axis=1), 0.5)


def test_mistakes_are_said(grey) -> None:
    with pytest.raises(SpecError, match="use one of cut-paste"):
        synthesize(grey, "melting")
    with pytest.raises(SpecError, match="above 0 and at most 1"):
        synthesize(grey, "spots", 0.0)
    with pytest.raises(DataError, match="uint8 images"):
        synthesize(grey.astype(float), "spots")
