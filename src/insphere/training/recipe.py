"""Schedules of epochs and learning rates: the recipes of the paper and a fast one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from insphere.errors import SpecError

SMALLEST_SIDE = 8
"""Of images that can be turned and shifted so that it is seen."""


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
        the steps, then falls to zero along a cosine.
    milestones : tuple of int
        Epochs at which "step" lowers the rate.
    batch_size : int
        Largest number of images in a step; each epoch is divided into equal batches.
    weight_decay : float
        L2 penalty.
    min_steps : int
        Least number of steps: with few images, there are more epochs than `epochs`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: NonNegativeInt
    lr: PositiveFloat = 1e-4
    schedule: Literal["step", "one-cycle", "constant"] = "step"
    milestones: tuple[PositiveInt, ...] = ()
    batch_size: PositiveInt = 200
    weight_decay: float = Field(default=0.5e-6, ge=0)
    min_steps: NonNegativeInt = 0

    def steps_per_epoch(self, images: int) -> int:
        """Return the number of batches of an epoch."""
        return math.ceil(images / self.batch_size)

    def epochs_for(self, images: int) -> int:
        """Return the epochs for a number of images; more than `epochs` if `min_steps` needs it."""
        if self.epochs == 0:
            return 0
        return max(self.epochs, math.ceil(self.min_steps / self.steps_per_epoch(images)))

    def lr_at(self, step: int, images: int) -> float:
        """Learning rate of one step, counted from 0 over the whole phase."""
        steps_per_epoch = self.steps_per_epoch(images)
        if self.schedule == "step":
            epoch = step // steps_per_epoch
            return self.lr * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)
        if self.schedule == "constant":
            return self.lr
        total = self.epochs_for(images) * steps_per_epoch
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
        Epochs before the first update; fewer if the phase has less than twice this number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretrain: Phase
    train: Phase
    radius_every: PositiveInt = 5
    radius_warm_up: NonNegativeInt = 10

    def override(self, pretrain: dict[str, Any], train: dict[str, Any]) -> Recipe:
        """Override the settings of the two phases that are not None.

        A given number of epochs is used as it is: `min_steps` is then ignored.
        """
        phases = {}
        for name, changes in (("pretrain", pretrain), ("train", train)):
            given = {key: value for key, value in changes.items() if value is not None}
            if "epochs" in given:
                given["min_steps"] = 0
            phases[name] = Phase.model_validate(getattr(self, name).model_dump() | given)
        return Recipe.model_validate(self.model_dump() | phases)


PAPER = Recipe(
    pretrain=Phase(epochs=350, milestones=(250,), weight_decay=0.5e-3),
    train=Phase(epochs=150, milestones=(50,)),
)
"""The schedule of the released scripts: 350 epochs (rate drops after 250) and 150 (after 50)."""

FAST = Recipe(
    pretrain=Phase(epochs=15, lr=2e-3, schedule="one-cycle", weight_decay=0.5e-3, min_steps=500),
    train=Phase(epochs=10, lr=1e-3, schedule="one-cycle", min_steps=250),
)
"""A one-cycle schedule with a small share of the paper's epochs."""

BEST = Recipe(
    pretrain=Phase(
        epochs=40, lr=3e-3, schedule="one-cycle", batch_size=128, weight_decay=5e-4, min_steps=400
    ),
    train=Phase(epochs=0, lr=1e-3, schedule="one-cycle"),
)
"""Pretraining alone: for Deep SVDD on images it comes with a task, a network and a head.

40 epochs of 5,000 images take about a minute of 28×28 and two of 32×32 with colours, on one thread;
`benchmarks/pretraining.py` measures what fewer and more bring.
"""

NAMED = {"paper": PAPER, "fast": FAST, "best": BEST}


def parse_recipe(recipe: str | Recipe | Mapping[str, Any]) -> Recipe:
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


def recipe_for(recipe: str | Recipe | Mapping[str, Any], shape: tuple[int, ...]) -> Recipe:
    """Return a recipe for samples of a shape; "best" is `FAST` for what it is not made for.

    Parameters
    ----------
    recipe : str, Recipe or mapping
        As in `parse_recipe`, whose errors it has.
    shape : tuple of int
        (C, H, W) of images, or (F,).
    """
    if recipe != "best":
        return parse_recipe(recipe)
    return BEST if is_for_best(shape) else FAST


def is_for_best(shape: tuple[int, ...]) -> bool:
    """Whether the choices that go with `BEST` are made for samples of this shape.

    Parameters
    ----------
    shape : tuple of int
        (C, H, W) of images, or (F,).
    """
    return len(shape) == 3 and min(shape[1:]) >= SMALLEST_SIDE
