"""Random regions of an image, as opacities between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def gradient_noise(shape: Sequence[int], cells: Sequence[int], rng: np.random.Generator) -> Floats:
    """Return Perlin's gradient noise: smooth, 0 at the corners of its cells.

    Perlin (1985), "An image synthesizer", with the fade 6t⁵ − 15t⁴ + 10t³ of 2002.

    Parameters
    ----------
    shape : (H, W)
        Size of the field.
    cells : (u, v)
        Number of cells down and across.
    rng : numpy.random.Generator
        Draws the gradients.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Between −1 and 1, around 0.
    """
    (height, width), (down, across) = shape, cells
    angles = rng.uniform(0, 2 * np.pi, (down + 1, across + 1)).astype(np.float32)
    gy, gx = np.sin(angles), np.cos(angles)
    y = (np.arange(height, dtype=np.float32) + 0.5) * down / height
    x = (np.arange(width, dtype=np.float32) + 0.5) * across / width
    row, column = y.astype(np.intp), x.astype(np.intp)
    fy, fx = (y - row)[:, None], (x - column)[None, :]
    out = np.zeros((height, width), dtype=np.float32)
    for dy in (0, 1):
        for dx in (0, 1):
            at = np.ix_(row + dy, column + dx)
            weight = _fade(1 - np.abs(fy - dy)) * _fade(1 - np.abs(fx - dx))
            out += weight * (gy[at] * (fy - dy) + gx[at] * (fx - dx))
    return out


def _fade(t: Floats) -> Floats:
    faded: Floats = t**3 * (t * (6 * t - 15) + 10)
    return faded


def smooth_step(value: Floats, low: float, high: float) -> Floats:
    """Return 0 below `low`, 1 above `high`, and 3t² − 2t³ between."""
    t = ((value - low) / (high - low)).clip(0, 1)
    out: Floats = (t * t * (3 - 2 * t)).astype(np.float32)
    return out


def rectangle(
    shape: Sequence[int],
    center: Sequence[float],
    sides: Sequence[float],
    angle: float = 0.0,
    soft: float = 1.0,
) -> Floats:
    """Return a rotated rectangle whose edges rise over `soft` pixels.

    Parameters
    ----------
    shape : (H, W)
        Size of the image.
    center : (row, column)
        In pixels.
    sides : (length, thickness)
        In pixels, along and across the angle.
    angle : float
        In radians.
    soft : float
        Width of the edge in pixels.
    """
    rows = np.arange(shape[0], dtype=np.float32)[:, None] + 0.5 - center[0]
    columns = np.arange(shape[1], dtype=np.float32)[None, :] + 0.5 - center[1]
    along = np.cos(angle) * columns + np.sin(angle) * rows
    across = np.cos(angle) * rows - np.sin(angle) * columns
    inside = np.minimum(sides[0] / 2 - np.abs(along), sides[1] / 2 - np.abs(across))
    opacity: Floats = (inside / soft + 0.5).clip(0, 1).astype(np.float32)
    return opacity


def blotch(
    shape: Sequence[int],
    center: Sequence[float],
    radius: float,
    rng: np.random.Generator,
    soft: float = 0.3,
) -> Floats:
    """Return an irregular round region: an ellipse whose radius wavers with the direction.

    Parameters
    ----------
    shape : (H, W)
        Size of the image.
    center : (row, column)
        In pixels.
    radius : float
        Mean radius in pixels.
    rng : numpy.random.Generator
        Draws the outline.
    soft : float
        Width of the edge, as a share of the radius.
    """
    tilt, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(-0.6, 0.6))
    phases, sizes = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0, 0.15, 3)
    radius = max(radius, 0.5)
    soft = max(soft, 0.5 / radius)
    reach = radius * max(stretch, 1 / stretch) * (1 + float(sizes.sum()) + soft)
    rows, columns = (
        np.arange(max(0, int(at - reach)), max(0, min(n, int(at + reach) + 1)), dtype=np.float32)
        for at, n in zip(center, shape, strict=True)
    )
    out = np.zeros(tuple(shape), dtype=np.float32)
    if not len(rows) or not len(columns):
        return out
    y, x = rows[:, None] + 0.5 - center[0], columns[None, :] + 0.5 - center[1]
    along = (np.cos(tilt) * x + np.sin(tilt) * y).astype(np.float32) * np.float32(stretch)
    across = (np.cos(tilt) * y - np.sin(tilt) * x).astype(np.float32) / np.float32(stretch)
    distance = np.sqrt(along**2 + across**2) / np.float32(radius)
    direction = np.arctan2(across, along)
    outline = np.ones_like(direction)
    for number, (phase, size) in enumerate(zip(phases, sizes, strict=True), start=2):
        outline += np.float32(size) * np.cos(number * direction + np.float32(phase))
    window = np.ix_(rows.astype(np.intp), columns.astype(np.intp))
    out[window] = smooth_step(outline - distance, -soft / 2, soft / 2)
    return out


def place(shape: Sequence[int], rng: np.random.Generator) -> tuple[float, float]:
    """Draw a place anywhere in the image, in pixels."""
    return float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1]))


def side_of(shape: Sequence[int]) -> float:
    """Return the shorter side of an image in pixels, in which sizes are measured."""
    return float(min(shape[0], shape[1]))
