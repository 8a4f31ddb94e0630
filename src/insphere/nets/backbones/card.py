"""What is known of a backbone before it is loaded: a small card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Stage:
    """One stage of a backbone, whose map can be taken.

    Parameters
    ----------
    name : str
        What it is called in settings.
    channels : int
        Channels of its map.
    stride : int
        Pixels of the input that one position of the map stands for.
    """

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class BackboneCard:
    """What a backbone is and what it wants.

    Parameters
    ----------
    name : str
        Name in settings.
    source : {"package", "torchvision", "timm"}
        Who builds the network.
    weights : str
        Where its weights come from, in words; begins with "random" if it was not trained.
    input_size : int
        Height and width, in pixels, that it was trained on.
    mean, std : tuple of 3 floats
        Of red, green and blue between 0 and 1, subtracted and divided by.
    stages : tuple of Stage
        From the first to the last.
    default_patches : tuple of str
        Stages whose maps are patched by default: middle ones, with local detail.
    default_deep : tuple of str
        Stages whose maps are patched by default where each patch is to know its surroundings; none
        if they are the last of `default_patches`.
    default_pooled : tuple of str
        Stages whose pooled vectors are joined by default.
    extra : str
        Extra of the package that brings it.
    multiple : int
        The input's height and width are multiples of this.
    offset : float
        By how many strides the middle of what a position responds to lies behind the middle of its
        share of the input. Padding alone would make it half a stride where strided convolutions pad
        below and to the right, as in TensorFlow, and less half a stride where they pad on both
        sides; trained weights are not symmetric and move it. So it is measured: small spots are
        painted into noise, and it is the mean distance of a spot from the centroid of what changes.
    pretrained : bool
        False if the weights are random.
    members : tuple of BackboneCard
        Of several backbones that are joined: the card of each.
    """

    name: str
    source: str
    weights: str
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stages: tuple[Stage, ...]
    default_patches: tuple[str, ...]
    default_pooled: tuple[str, ...]
    extra: str
    multiple: int = 32
    pretrained: bool = True
    default_deep: tuple[str, ...] = ()
    offset: float = 0.0
    members: tuple[BackboneCard, ...] = ()

    def stage(self, name: str) -> Stage:
        """Return the stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of all stages, from the first to the last."""
        return tuple(stage.name for stage in self.stages)

    def choose_stages(self, choose: Callable[[BackboneCard], Sequence[str]]) -> tuple[str, ...]:
        """Return the stages that `choose` names; if backbones are joined, those of each."""
        return of_each(self.members, choose) if self.members else tuple(choose(self))


def of_each(
    cards: Sequence[BackboneCard], choose: Callable[[BackboneCard], Sequence[str]]
) -> tuple[str, ...]:
    """Return the stages that `choose` names of each card, by their names where these are joined.

    Parameters
    ----------
    cards : sequence of BackboneCard
        Of the backbones that are joined.
    choose : callable
        From a card to names of its stages.
    """
    return tuple(f"{card.name}.{name}" for card in cards for name in choose(card))
