"""Damage: deterministic, in batches, growing with its strength, and only where the mask says."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from insphere.data import perturb as module
from insphere.data.perturb import KINDS, LOCAL, STRENGTHS, perturb
from insphere.errors import DataError, SpecError


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    images = (load_digits().images[:40] * 15.9375).astype(np.uint8)
    return np.kron(images, np.ones((1, 3, 3), dtype=np.uint8))[..., None]


@pytest.fixture(scope="module")
def colour(grey: np.ndarray) -> np.ndarray:
    return np.concatenate([grey, 255 - grey, grey // 2 + 40], axis=3)[:, :, :20]


def difference(images: np.ndarray, damaged: np.ndarray) -> np.ndarray:
    return np.abs(damaged.astype(int) - images).max(axis=3)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_deterministic_and_where_the_mask_says(kind, grey, colour) -> None:
    for images in (grey, colour):
        before = images.copy()
        found = perturb(images, kind, 3, seed=5)
        assert found.images.shape == images.shape
        assert found.images.dtype == np.uint8
        assert found.masks.shape == images.shape[:3]
        assert (found.kind, found.strength) == (kind, 3)
        np.testing.assert_array_equal(images, before)
        np.testing.assert_array_equal(found.images, perturb(images, kind, 3, seed=5).images)
        assert not np.array_equal(found.images, perturb(images, kind, 3, seed=6).images) or (
            kind == "blur"
        )
        changed = difference(images, found.images)
        if kind in LOCAL:
            assert found.masks.any(axis=(1, 2)).all()
            assert not found.masks.all(axis=(1, 2)).any()
            # The foot of a spot of light is too faint to count as damage.
            assert changed[~found.masks].max(initial=0) <= (60 if kind == "glare" else 0)
            assert (changed[found.masks] > 0).mean() > 0.6
        else:
            assert found.masks.all()
        assert (changed.max(axis=(1, 2)) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_more_images_change_nothing_for_the_first_ones(kind, grey, monkeypatch) -> None:
    whole = perturb(grey, kind, 4, seed=1)
    np.testing.assert_array_equal(perturb(grey[:7], kind, 4, seed=1).images, whole.images[:7])
    monkeypatch.setattr(module, "_WORK", 24 * 24 * 32 * 3)  # three images a chunk
    np.testing.assert_array_equal(perturb(grey, kind, 4, seed=1).images, whole.images)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_grows_with_its_strength(kind, grey) -> None:
    means = [difference(grey, perturb(grey, kind, s).images).mean() for s in STRENGTHS]
    assert means == sorted(means)
    assert means[4] > 1.5 * means[0]


def test_wrong_requests_are_one_sentence(grey) -> None:
    with pytest.raises(SpecError, match="Unknown damage 'rust'; use one of stickers, graffiti"):
        perturb(grey, "rust")
    for strength in (0, 6, 2.5, True):
        with pytest.raises(SpecError, match="strength of damage is 1, 2, 3, 4 or 5"):
            perturb(grey, "noise", strength)
    for wrong in (grey.astype(float), grey[..., 0], np.repeat(grey, 2, axis=3)):
        with pytest.raises(DataError, match="uint8 images of shape N×H×W×C"):
            perturb(wrong, "noise")
    assert perturb(grey[:0], "fog").images.shape == (0, 24, 24, 1)
