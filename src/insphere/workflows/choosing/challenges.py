"""What candidates are compared on: anomalies made from held-out normal images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.data.letterbox import content_size, on_canvas
from insphere.resources import rows_within
from insphere.synthetic_anomalies import KINDS, synthesize

Group = Literal["local", "whole", "far"]
Images = NDArray[np.uint8]

EACH, FEWEST = 32, 8
"""Most images of one challenge, and how many there are at least, however large they are."""
STRENGTHS = (0.25, 0.9)
HALVES: tuple[tuple[str, ...], tuple[str, ...]] = (
    ("cut-paste", "scar", "foreign-texture", "spots", "shading"),
    ("crack", "fold", "blur-patch", "roughness"),
)
"""Two halves of the kinds; kinds that resemble each other are in the same half."""
WHOLE = ("turned",)
FAR = ("digits",)


@dataclass(frozen=True, eq=False)
class Challenge:
    """Anomalous images of one kind.

    Parameters
    ----------
    name : str
        Name of the kind.
    group : {"local", "whole", "far"}
        Whether a part of the image is damaged, all of it is wrong, or it is something else.
    images : ndarray of uint8, shape (n, H, W, C)
        The anomalous images.
    origin : ndarray of int64, shape (n,)
        From which held-out image each was made.
    """

    name: str
    group: Group
    images: Images
    origin: NDArray[np.int64]


def make_challenges(held: Images, others: Images, *, seed: int) -> list[Challenge]:
    """Make anomalies of all kinds from held-out normal images.

    Parameters
    ----------
    held : ndarray of uint8, shape (n, H, W, C)
        Normal images on which no candidate is trained; at least two.
    others : ndarray of uint8, shape (m, H, W, C)
        Normal training images, for foreign textures.
    seed : int
        The same seed makes the same anomalies.
    """
    rng = np.random.default_rng((seed, 0xC4A11))
    kinds = len(KINDS) + len(WHOLE) + len(FAR)
    each = max(FEWEST, rows_within(kinds * held[:1].nbytes, EACH, parts=2))
    made = []
    for kind in KINDS:
        origin = _some(len(held), each, rng)
        strength = rng.permutation(np.linspace(*STRENGTHS, len(origin)))
        images = held[origin]
        damaged = on_contents(
            images, partial(_damaged, kind=kind, strength=strength, seed=seed, others=others)
        )
        visible = (damaged != images).any(axis=(1, 2, 3))
        made.append(Challenge(kind, "local", damaged[visible], origin[visible]))
    origin = _some(len(held), each, rng)
    turned = on_contents(held[origin], partial(_turned, rng=rng))
    made.append(Challenge("turned", "whole", turned, origin))
    origin = _some(len(held), each, rng)
    made.append(Challenge("digits", "far", _digits(held[origin].shape, rng), origin))
    return [challenge for challenge in made if len(challenge.images)]


def on_contents(images: Images, change: Callable[[Images, NDArray[np.int64]], Images]) -> Images:
    """Change photographs that lie on a canvas, and mirror them into their padding again.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, H, W, C)
        Perhaps padded; see `insphere.data.letterbox`.
    change : callable
        From photographs of one size and their positions to as many of the same size.
    """
    size = images.shape[1:3]
    contents = [content_size(image) for image in images]
    if all(content == size for content in contents):
        return change(images, np.arange(len(images)))
    out = np.empty_like(images)
    for row, (height, width) in enumerate(contents):
        part = np.ascontiguousarray(images[row : row + 1, :height, :width])
        out[row] = on_canvas(change(part, np.array([row]))[0], size)
    return out


def _some(n: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.sort(rng.permutation(n)[:most])


def _damaged(
    part: Images,
    rows: NDArray[np.int64],
    *,
    kind: str,
    strength: NDArray[np.float64],
    seed: int,
    others: Images,
) -> Images:
    own = (1009 * seed + int(rows[0])) % 2**31
    return synthesize(part, kind, strength[rows], seed=own, textures=others).images


def _turned(part: Images, rows: NDArray[np.int64], *, rng: np.random.Generator) -> Images:
    """Turn each image: by a quarter to either side where it is square, else upside down.

    Unlike pieces in disorder or two images over each other, this leaves no seam and no ghost by
    which it could be told without regard to what the image shows.
    """
    square = part.shape[1] == part.shape[2]
    turns = rng.integers(1, 4, len(part)) if square else np.full(len(part), 2)
    return np.stack([np.rot90(one, int(k)) for one, k in zip(part, turns, strict=True)])


def _digits(shape: Sequence[int], rng: np.random.Generator) -> Images:
    """Return scanned digits, enlarged to the size of the images."""
    from insphere.data.datasets.digits_8x8 import Digits8x8

    n, height, width, channels = shape
    digits = Digits8x8().load().images[rng.choice(1797, n, replace=False), ..., 0]
    large = [Image.fromarray(digit).resize((width, height)) for digit in digits]
    return np.repeat(np.stack([np.asarray(one) for one in large])[..., None], channels, axis=3)
