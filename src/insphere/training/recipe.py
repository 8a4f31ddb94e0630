"""How long and how fast to train: the paper's schedule and a fast one."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from insphere.errors import SpecError


class Phase(BaseModel):
    """One phase of training with Adam.

    Parameters
    ----------
    epochs : int
        Passes over the training images; 0 leaves the phase out.
    lr : float
        Learning rate; its peak for the one-cycle schedule.
    schedule : {"step", "one-cycle", "constant"}
        "step" divides the rate by 10 at each milestone; "one-cycle" rises over the first 30 % of
        the steps and falls to nothing along a cosine.
    milestones : tuple of int
        Epochs at which "step" lowers the rate.
    batch_size : int
        Upper bound on the images in a step; each epoch is cut into equal batches.
    weight_decay : float
        L2 penalty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: NonNegativeInt
    lr: PositiveFloat = 1e-4
    schedule: Literal["step", "one-cycle", "constant"] = "step"
    milestones: tuple[PositiveInt, ...] = ()
    batch_size: PositiveInt = 200
    weight_decay: float = Field(default=0.5e-6, ge=0)

    def lr_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of one step, counted from 0 over the whole phase."""
        if self.schedule == "step":
            epoch = step // steps_per_epoch
            return self.lr * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)
        if self.schedule == "constant":
            return self.lr
        total = self.epochs * steps_per_epoch
        peak = 0.3 * total
        if step < peak:
            return self.lr * (0.04 + 0.96 * (step + 1) / math.ceil(peak))
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - peak) / (total - peak)))


class Recipe(BaseModel):
    """Autoencoder pretraining, then the one-class objective.

    Parameters
    ----------
    pretrain, train : Phase
        The two phases; `pretrain.epochs = 0` starts from random weights.
    radius_every : int
        Epochs between two updates of the radius in the soft-boundary objective.
    radius_warm_up : int
        Epochs before the first update; shortened where the phase has fewer than twice as many.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretrain: Phase
    train: Phase
    radius_every: PositiveInt = 5
    radius_warm_up: NonNegativeInt = 10


PAPER = Recipe(
    pretrain=Phase(epochs=350, milestones=(250,), weight_decay=0.5e-3),
    train=Phase(epochs=150, milestones=(50,)),
)
"""The schedule of the released scripts: 350 epochs (rate drops after 250) and 150 (after 50)."""

FAST = Recipe(
    pretrain=Phase(epochs=30, lr=2e-3, schedule="one-cycle", weight_decay=0.5e-3),
    train=Phase(epochs=15, lr=1e-3, schedule="one-cycle"),
)
"""A one-cycle schedule with a small share of the paper's epochs."""

NAMED = {"paper": PAPER, "fast": FAST}


def parse_recipe(recipe: str | Recipe | dict[str, object]) -> Recipe:
    """Return a recipe given by name, as settings or as itself.

    Raises
    ------
    SpecError
        If the name is unknown or a setting is out of range.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, str):
        if recipe not in NAMED:
            raise SpecError(f"Unknown recipe {recipe!r}; use one of {', '.join(NAMED)}.")
        return NAMED[recipe]
    try:
        return Recipe.model_validate(recipe)
    except ValueError as error:
        raise SpecError(f"The recipe is not understood: {error}") from error
