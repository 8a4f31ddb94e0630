"""A backbone as one module: normalised images in, the maps of its stages out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from insphere.errors import SpecError
from insphere.nets.backbones.card import BackboneCard


class Backbone(nn.Module):
    """A network for evaluation, cut into stages.

    Parameters
    ----------
    card : BackboneCard
        What it is.
    fingerprint : str
        SHA-256 over its weights as they were read.
    classifier : torch.nn.Linear, optional
        The layer that named the classes it was pretrained on, from the mean of the last map; None
        if it is not known.
    """

    def __init__(
        self, card: BackboneCard, fingerprint: str, classifier: nn.Linear | None = None
    ) -> None:
        super().__init__()
        self.card = card
        self.fingerprint = fingerprint
        self.classifier = classifier

    def forward(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages.

        Parameters
        ----------
        x : Tensor, shape (N, 3, H, W)
            Images, normalised with the card's mean and standard deviation.
        stages : sequence of str
            Their names; what comes after the last of them is not computed.

        Returns
        -------
        dict of Tensor, shape (N, C, H / stride, W / stride)
            By name, in the order of the network.
        """
        raise NotImplementedError


class StagedBackbone(Backbone):
    """A backbone whose stages follow one another, so that it can be cut between any two.

    Parameters
    ----------
    card, fingerprint, classifier
        As in `Backbone`.
    steps : mapping of str to torch.nn.Module
        Each stage's module, from the map before it to its own.
    """

    def __init__(
        self,
        card: BackboneCard,
        fingerprint: str,
        steps: Mapping[str, nn.Module],
        classifier: nn.Linear | None = None,
    ) -> None:
        super().__init__(card, fingerprint, classifier)
        self.steps = nn.ModuleDict(dict(steps))

    def forward(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages; see `Backbone`."""
        return self.after(None, x, stages)

    def after(self, start: str | None, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of stages behind `start`, given its map, or from the image if None."""
        names = list(self.steps)
        first = 0 if start is None else names.index(start) + 1
        wanted = set(stages)
        maps: dict[str, Tensor] = {}
        for name in names[first:]:
            if len(maps) == len(wanted):
                break
            x = self.steps[name](x)
            if name in wanted:
                maps[name] = x
        return maps

    def tail(self, count: int) -> Tail:
        """Return a copy of the last stages, float32, to be trained by itself."""
        names = list(self.steps)[-count:]
        steps = {name: copy.deepcopy(self.steps[name]).float() for name in names}
        return Tail(nn.ModuleDict(steps))


class Tail(nn.Module):
    """The last stages of a backbone, one after the other.

    Parameters
    ----------
    steps : torch.nn.ModuleDict
        Stages by name.
    """

    def __init__(self, steps: nn.ModuleDict) -> None:
        super().__init__()
        self.steps = steps

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Return the map of every stage."""
        found = {}
        for name, step in self.steps.items():
            x = step(x)
            found[name] = x
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the last map."""
        for step in self.steps.values():
            x = step(x)
        return x


def check_stages(card: BackboneCard, stages: Sequence[str]) -> tuple[str, ...]:
    """Return stage names in the order of the network.

    Raises
    ------
    SpecError
        If there is none, or one is unknown.
    """
    unknown = [name for name in stages if name not in card.stage_names]
    if unknown or not stages or isinstance(stages, str):
        raise SpecError(
            f"stages names some of those of {card.name}: {', '.join(card.stage_names)}; but got "
            f"{stages!r}."
        )
    return tuple(name for name in card.stage_names if name in stages)
