"""Woven textures with scratches, blobs and missing parts, and masks of where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

DEFECTS = ("scratch", "blob", "missing")


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Two crossing waves of slightly varying phase, with grain, in a brownish colour."""
    y, x = np.mgrid[:size, :size]
    phase = rng.uniform(0, 2 * np.pi, 2)
    waves = np.sin(2 * np.pi * x / 8 + phase[0]) + np.sin(2 * np.pi * y / 8 + phase[1])
    grain = gaussian_filter(rng.normal(size=(size, size)), 1)
    grey = 120 + 30 * waves + 15 * grain
    return np.clip(grey[..., None] * (1.0, 0.85, 0.7), 0, 255).astype(np.uint8)


def damage(image: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the image with a defect, and its mask (255 is defective)."""
    size = len(image)
    low, high = round(0.25 * size), round(0.75 * size)
    x, y = (int(v) for v in rng.integers(low, high, 2))
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    if kind == "scratch":
        angle, length = rng.uniform(0, np.pi), size * 0.2
        dx, dy = length * np.cos(angle), length * np.sin(angle)
        draw.line([(x - dx, y - dy), (x + dx, y + dy)], fill=255, width=max(2, size // 24))
        colour = np.array((245, 245, 240))
    else:
        radius = round(size * rng.uniform(0.08, 0.14))
        box = (x - radius, y - radius, x + radius, y + radius)
        if kind == "blob":
            draw.ellipse(box, fill=255)
            colour = np.array((60, 20, 90))
        else:
            draw.rectangle(box, fill=255)
            colour = np.array((110, 94, 77))  # the texture's mean: only the pattern is missing
    where = np.asarray(mask)
    return np.where(where[..., None] > 0, colour, image).astype(np.uint8), where


def dataset(
    n_train: int, n_each: int, size: int = 64, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return training normals, test images, masks and kinds ("good" or a defect)."""
    rng = np.random.default_rng(seed)
    train = np.stack([texture(rng, size) for _ in range(n_train)])
    images, masks, kinds = [], [], []
    for kind in ("good", *DEFECTS):
        for _ in range(n_each):
            image, mask = texture(rng, size), np.zeros((size, size), np.uint8)
            if kind != "good":
                image, mask = damage(image, kind, rng)
            images.append(image)
            masks.append(mask)
            kinds.append(kind)
    return train, np.stack(images), np.stack(masks), kinds


def write_mvtec(folder: Path, n_train: int, n_each: int, size: int = 64) -> Path:
    """Write such a dataset in MVTec AD's layout."""
    train, images, masks, kinds = dataset(n_train, n_each, size)

    def save(pixels: np.ndarray, *parts: str) -> None:
        path = folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    for i, image in enumerate(train):
        save(image, "train", "good", f"{i:03}.png")
    for i, (image, mask, kind) in enumerate(zip(images, masks, kinds, strict=True)):
        save(image, "test", kind, f"{i:03}.png")
        if kind != "good":
            save(mask, "ground_truth", kind, f"{i:03}_mask.png")
    return folder
