"""Pretrained networks by name, each with a card, cut into stages whose maps can be taken."""

from insphere.nets.backbones.card import BackboneCard, Stage
from insphere.nets.backbones.network import Backbone, StagedBackbone, check_stages
from insphere.nets.backbones.registry import (
    DEFAULT,
    backbone_cards,
    backbone_names,
    load_backbone,
)

__all__ = [
    "DEFAULT",
    "Backbone",
    "BackboneCard",
    "Stage",
    "StagedBackbone",
    "backbone_cards",
    "backbone_names",
    "check_stages",
    "load_backbone",
]
