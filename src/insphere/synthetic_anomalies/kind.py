"""What every kind of synthetic anomaly has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class SyntheticAnomaly(ABC):
    """One kind of synthetic anomaly: it damages a part of one image.

    Attributes
    ----------
    key : str
        Name of the kind.
    summary : str
        What it does, in one line without a full stop.
    """

    key: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def damage(
        self, image: Floats, strength: float, rng: np.random.Generator, other: Floats
    ) -> Floats:
        """Return the damaged image.

        The draws must not depend on `strength`, so that a stronger anomaly is more of the same.

        Parameters
        ----------
        image : ndarray of float32, shape (H, W, C)
            Grey levels from 0 to 255; it must not be changed.
        strength : float
            From just above 0, where nothing changes, to 1.
        rng : numpy.random.Generator
            All randomness.
        other : ndarray of float32, shape (h, w, C)
            Another image, for textures.

        Returns
        -------
        ndarray of float32, shape (H, W, C)
            May leave the range from 0 to 255.
        """


def blended(image: Floats, painted: Any, opacity: Any) -> Floats:
    """Return ``image + opacity · (painted − image)``; opacity has the shape (H, W) or is a number.

    Examples
    --------
    >>> image = np.full((1, 2, 1), 100, dtype=np.float32)
    >>> blended(image, 200.0, np.array([[0.0, 0.25]], dtype=np.float32)).ravel().tolist()
    [100.0, 125.0]
    """
    alpha = np.asarray(opacity, dtype=np.float32)
    alpha = alpha[..., None] if alpha.ndim == 2 else alpha
    out: Floats = image + alpha * (np.asarray(painted, dtype=np.float32) - image)
    return out


def contrast_of(image: Floats) -> float:
    """Return the unit in which changes of brightness are measured, in grey levels.

    It is the standard deviation of the image, and at least 12: a dark photograph is damaged less
    than a bright one, as it would be by the same scratch.
    """
    return max(12.0, float(image.std()))


def signed(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number of size `low` to `high`, positive or negative."""
    size = rng.uniform(low, high)
    return float(size if rng.random() < 0.5 else -size)
