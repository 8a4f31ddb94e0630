"""Any backbone of timm, by its name there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from insphere.errors import SpecError, require
from insphere.nets.backbones.card import BackboneCard, Stage
from insphere.nets.backbones.network import Backbone
from insphere.nets.backbones.resnets import missing_download
from insphere.nets.backbones.weights import load_into, read_weights, weights_fingerprint

PREFIX = "timm/"
ALIASES = {
    "dinov2-small": "timm/vit_small_patch14_dinov2.lvd142m",
    "dinov2-base": "timm/vit_base_patch14_dinov2.lvd142m",
}
LARGEST_INPUT = 224  # transformers trained on more take this as well, at a fraction of the cost


class TimmBackbone(Backbone):
    """A network of timm, asked for its intermediate maps.

    Parameters
    ----------
    card, fingerprint
        As in `Backbone`.
    network : torch.nn.Module
        The whole network.
    """

    def __init__(self, card: BackboneCard, fingerprint: str, network: Any) -> None:
        super().__init__(card, fingerprint)
        self.network = network

    def forward(self, x: Tensor, stages: Sequence[str]) -> dict[str, Tensor]:
        """Return the maps of some stages; see `Backbone`."""
        wanted = [i for i, name in enumerate(self.card.stage_names) if name in set(stages)]
        maps = self.network.forward_intermediates(
            x,
            indices=wanted,
            norm=True,
            output_fmt="NCHW",
            intermediates_only=True,
            stop_early=True,
        )
        return {self.card.stage_names[i]: m for i, m in zip(wanted, maps, strict=True)}


def load(name: str, weights: Path | None, *, download: bool) -> Backbone:
    """Build a network of timm and load its weights.

    Parameters
    ----------
    name : str
        ``"timm/…"``, or one of `ALIASES`.
    weights : pathlib.Path or None
        File of weights.
    download : bool
        Without a file, take timm's weights, from its cache or the network; else leave them random.

    Raises
    ------
    SpecError
        If timm has no such network, or it gives no intermediate maps.
    ModelError
        If the weights cannot be loaded.
    """
    timm = require("timm", "backbones", f"The backbone {name}")
    inner = ALIASES.get(name, name).removeprefix(PREFIX)
    if not timm.is_model(inner):
        raise SpecError(f"timm has no network {inner!r}; see timm.list_models().")
    config = timm.get_pretrained_cfg(inner)
    options = {"dynamic_img_size": True} if inner.startswith("vit_") else {}
    fetch = weights is None and download
    try:
        network: Any = timm.create_model(inner, pretrained=fetch, **options).eval()
    except (OSError, RuntimeError) as error:
        if not fetch:
            raise
        raise missing_download(name, error) from error
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "feature_info"):
        raise SpecError(f"timm's {inner} gives no intermediate maps; choose another network.")
    if weights is not None:
        load_into(network, read_weights(weights), name, str(weights))
    card = _card(name, inner, config, network)
    return TimmBackbone(card, weights_fingerprint(network), network)


def _card(name: str, inner: str, config: Any, network: Any) -> BackboneCard:
    infos = list(network.feature_info)
    stages = tuple(
        Stage(info["module"], int(info["num_chs"]), int(info["reduction"])) for info in infos
    )
    if len({stage.stride for stage in stages}) == 1:  # a transformer: all maps are alike
        middle = tuple(stages[round(len(stages) * share) - 1].name for share in (0.5, 0.75))
        pooled: tuple[str, ...] = (stages[-1].name,)
    else:
        middle = tuple(stage.name for stage in stages if stage.stride in (8, 16))
        pooled = tuple(stage.name for stage in stages[-2:])
    size = min(int(config.input_size[-1]), LARGEST_INPUT)
    multiple = stages[-1].stride
    return BackboneCard(
        name=name,
        source="timm",
        weights=f"{inner} of timm, downloaded when first used",
        input_size=size // multiple * multiple,
        mean=tuple(config.mean),
        std=tuple(config.std),
        stages=stages,
        default_patches=middle or pooled,
        default_pooled=pooled,
        extra="backbones",
        multiple=multiple,
    )
