"""Several backbones side by side, as one: each sees the same image, and all maps are there."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from math import lcm
from typing import cast

import torch
from torch import Tensor, nn

from insphere.nets.backbones.card import BackboneCard, Stage, of_each
from insphere.nets.backbones.network import Backbone

JOIN = "+"


class JoinedBackbone(Backbone):
    """Backbones that look at the same image. A stage is called ``BACKBONE.STAGE``.

    Networks that were trained apart make different mistakes, so that distances in their joined
    features separate better than in those of any of them (an ensemble; Lakshminarayanan et al.
    2017).

    Parameters
    ----------
    members : sequence of Backbone
        At least two, with different names.
    """

    def __init__(self, members: Sequence[Backbone]) -> None:
        marks = "".join(member.fingerprint for member in members)
        super().__init__(
            joined_card([member.card for member in members]), sha256(marks.encode()).hexdigest()
        )
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages; see `Backbone`."""
        maps: dict[str, Tensor] = {}
        for member in self.members:
            card = cast(Backbone, member).card
            own = {f"{card.name}.{name}": name for name in card.stage_names}
            wanted = {full: name for full, name in own.items() if full in stages}
            if wanted:
                found = member(self._normalised_for(card, x), list(wanted.values()))
                maps |= {full: found[name] for full, name in wanted.items()}
        return maps

    def _normalised_for(self, card: BackboneCard, x: Tensor) -> Tensor:
        """Return images, normalised as the joined card says, as this member's card says."""
        if (card.mean, card.std) == (self.card.mean, self.card.std):
            return x
        mean, std, own_mean, own_std = (
            torch.tensor(values, dtype=torch.float32, device=x.device)[:, None, None]
            for values in (self.card.mean, self.card.std, card.mean, card.std)
        )
        return ((x * std + mean - own_mean) / own_std).to(x.dtype)


def joined_card(cards: Sequence[BackboneCard]) -> BackboneCard:
    """Return the card of joined backbones; size of the input and normalisation are the first's.

    Parameters
    ----------
    cards : sequence of BackboneCard
        Of each, in order.
    """
    first = cards[0]
    return BackboneCard(
        name=JOIN.join(card.name for card in cards),
        source=JOIN.join(dict.fromkeys(card.source for card in cards)),
        weights="; ".join(card.weights for card in cards),
        input_size=first.input_size,
        mean=first.mean,
        std=first.std,
        stages=tuple(
            Stage(f"{card.name}.{stage.name}", stage.channels, stage.stride)
            for card in cards
            for stage in card.stages
        ),
        default_patches=of_each(cards, lambda card: card.default_patches),
        default_deep=of_each(cards, lambda card: card.default_deep),
        default_pooled=of_each(cards, lambda card: card.default_pooled),
        extra=first.extra,
        multiple=lcm(*(card.multiple for card in cards)),
        offset=sum(card.offset for card in cards) / len(cards),
        pretrained=all(card.pretrained for card in cards),
        members=tuple(cards),
    )
