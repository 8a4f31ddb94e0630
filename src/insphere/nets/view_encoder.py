"""An encoder that sees several views of an image, and says how sure it is of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.nets.appearance import NUMBERS, Appearance
from insphere.nets.views import BlurredPixels, View

TURN, DOWN, RIGHT = "turn", "down", "right"
PLACES = 3
"""Classes of a shift in one direction: back, not at all, forth."""


@dataclass(frozen=True)
class ViewPlan:
    """Which views of an image are told apart.

    Parameters
    ----------
    turns : tuple of int
        Quarter turns.
    mirrored : bool
        Whether the mirror image is told from the image, for every turn.
    shift : tuple of int
        Pixels of a shift down and to the right; 0 for none.
    """

    turns: tuple[int, ...] = (0, 1, 2, 3)
    mirrored: bool = False
    shift: tuple[int, int] = (0, 0)

    @property
    def poses(self) -> list[View]:
        """Turned and perhaps mirrored views, in the order of their classes."""
        sides = (False, True) if self.mirrored else (False,)
        return [View(turns, side) for side in sides for turns in self.turns]

    @property
    def shifts(self) -> list[tuple[View, int, int]]:
        """Views that are shifted along the diagonals, with their classes in both directions."""
        if not self.shifted:
            return []
        down, right = self.shift
        return [
            (View(down=i * down, right=j * right), i + 1, j + 1) for i in (-1, 1) for j in (-1, 1)
        ]

    @property
    def shifted(self) -> bool:
        """Whether shifts are told apart."""
        return min(self.shift) > 0

    @property
    def classes(self) -> dict[str, int]:
        """Number of classes of each question."""
        found = {TURN: len(self.poses)}
        return found | ({DOWN: PLACES, RIGHT: PLACES} if self.shifted else {})


class ViewEncoder(nn.Module):
    """Representations of several views of each image, with the surprise at each kind of view.

    A row of the output holds the representations of the turned images one after the other, then, if
    asked for, −Σ log p of the true turn over all turned views, and where shifts are told apart
    −Σ log p of the true shift. A `Sphere` adds what `looks` returns.

    Parameters
    ----------
    encoder : torch.nn.Module
        φ(x; W).
    rep_dim : int
        Length of a representation.
    plan : ViewPlan
        The views.
    shape : tuple of int
        (C, H, W) of the images.

    Attributes
    ----------
    surprised : bool
        Whether rows hold surprises, which take more views.
    described : bool
        Whether rows end with the appearance of the image.
    """

    def __init__(
        self, encoder: nn.Module, rep_dim: int, plan: ViewPlan, shape: Sequence[int]
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.rep_dim = rep_dim
        self.plan = plan
        self.shape = tuple(shape)
        self.surprised = True
        self.described = False
        self.classifiers = nn.ModuleDict(
            {name: nn.Linear(rep_dim, classes) for name, classes in plan.classes.items()}
        )
        self.pixels = BlurredPixels(centered=shape[0] > 1)
        self.n_pixels = BlurredPixels.size(shape)
        self.appearance = Appearance()

    @property
    def n_views(self) -> int:
        """Number of views whose representations are kept."""
        return len(self.plan.turns)

    @property
    def n_surprises(self) -> int:
        """Number of kinds of surprise."""
        return self.surprised * (2 if self.plan.shifted else 1)

    @property
    def n_numbers(self) -> int:
        """How many numbers describe the appearance."""
        return self.described * NUMBERS

    def looks(self, x: Tensor) -> Tensor:
        """Return the blurred pixels of raw images N×C×H×W and, if asked for, their appearance."""
        pixels: Tensor = self.pixels(x)
        return torch.cat([pixels, self.appearance(x)], dim=1) if self.described else pixels

    def forward(self, x: Tensor) -> Tensor:
        """Map preprocessed images N×C×H×W to rows (N, n_views · rep_dim + n_surprises)."""
        if not self.surprised:
            upright = [View(turns) for turns in self.plan.turns]
            return torch.cat([self.encoder(pose(x)) for pose in upright], dim=1)
        kept, turn = [], torch.zeros((), device=x.device)
        for true, pose in enumerate(self.plan.poses):
            z = self.encoder(pose(x))
            if not pose.mirrored:
                kept.append(z)
            turn = turn + self._surprise(TURN, z, true)
        rows = [*kept, turn[:, None]]
        if self.plan.shifted:
            upright = kept[self.plan.turns.index(0)]
            shift = self._surprise(DOWN, upright, 1) + self._surprise(RIGHT, upright, 1)
            for view, down, right in self.plan.shifts:
                z = self.encoder(view(x))
                shift = shift + self._surprise(DOWN, z, down) + self._surprise(RIGHT, z, right)
            rows.append(shift[:, None])
        return torch.cat(rows, dim=1)

    def logits(self, x: Tensor) -> dict[str, Tensor]:
        """Return what is told of each image N×C×H×W, by question: logits (N, classes)."""
        z = self.encoder(x)
        return {name: self._logits(name, z) for name in self.classifiers}

    def _logits(self, name: str, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            told: Tensor = self.classifiers[name](z)
        return told

    def _surprise(self, name: str, z: Tensor, true: int) -> Tensor:
        return -F.log_softmax(self._logits(name, z), dim=1)[:, true]
