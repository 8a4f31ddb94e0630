"""Backbones by name."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from insphere.errors import ModelError, SpecError, did_you_mean
from insphere.nets.backbones import lite, resnets, timm_models
from insphere.nets.backbones.card import BackboneCard
from insphere.nets.backbones.joined import JOIN, JoinedBackbone
from insphere.nets.backbones.network import Backbone
from insphere.nets.backbones.weights import RANDOM
from insphere.nets.draws import initial_weights

DEFAULT = lite.CARD.name
ENVIRONMENT = "INSPHERE_BACKBONE_WEIGHTS"
_STATIC = {**lite.CARDS, **resnets.CARDS}
_RANDOM_SEED = 0


def backbone_cards() -> tuple[BackboneCard, ...]:
    """Return the cards of the backbones that are known without loading them.

    Beside these, every network of timm that gives intermediate maps goes by ``"timm/NAME"``, and
    DINOv2 by "dinov2-small" and "dinov2-base".
    """
    return tuple(_STATIC.values())


def backbone_names() -> tuple[str, ...]:
    """Return every name that `load_backbone` knows, but for those that begin with ``timm/``."""
    return (*_STATIC, *timm_models.ALIASES)


def load_backbone(name: str = DEFAULT, weights: str | os.PathLike[str] | None = None) -> Backbone:
    """Load a pretrained network for evaluation.

    Parameters
    ----------
    name : str
        One of `backbone_names`, or ``"timm/NAME"``. Several, with "+" between them, are joined:
        all see the same image, and their features lie side by side; see `JoinedBackbone`.
    weights : str or path, optional
        None takes the pretrained weights that the card tells of. A path is a file of weights,
        safetensors or a state dict. "random" leaves the network untrained, which its card then
        says: a control, not a result. If the file is not there, the one that the environment
        variable INSPHERE_BACKBONE_WEIGHTS names is taken.

    Returns
    -------
    Backbone
        In evaluation mode, float32, batch norm folded where that is known to be safe.

    Raises
    ------
    SpecError
        If a name is unknown or given twice, or if a file of weights is given for several.
    ModelError
        If the weights are missing, cannot be read, or belong to another network.
    MissingExtraError
        If the package that brings the network is not installed.
    """
    if isinstance(name, str) and JOIN in name:
        return _joined(name, weights)
    if not isinstance(name, str) or not (name in backbone_names() or name.startswith("timm/")):
        names = backbone_names()
        hint = did_you_mean(str(name), names, f"use {', '.join(names)}")
        raise SpecError(f"Unknown backbone {name!r}; {hint} or timm/NAME.")
    random = weights == RANDOM
    file = None if weights is None or random else _existing(weights)
    with initial_weights(_RANDOM_SEED):
        backbone = _load(name, file, random)
    if random:
        weights = f"random (seed {_RANDOM_SEED}), not pretrained"
        backbone.card = replace(backbone.card, weights=weights, pretrained=False)
    elif file is not None:
        backbone.card = replace(backbone.card, weights=f"from the file {file.name}")
    return backbone.eval().requires_grad_(False)


def _joined(names: str, weights: str | os.PathLike[str] | None) -> Backbone:
    members = [name.strip() for name in names.split(JOIN)]
    if len(set(members)) < len(members):
        raise SpecError(f"Each backbone can be joined once, but got {names!r}; leave one out.")
    if weights is not None and weights != RANDOM:
        raise SpecError(
            f"weights is the file of one backbone, but {names!r} are {len(members)}; leave it out, "
            "so that each takes its own."
        )
    joined = JoinedBackbone([load_backbone(name, weights) for name in members])
    return joined.eval().requires_grad_(False)


def _load(name: str, file: Path | None, random: bool) -> Backbone:
    if name in lite.CARDS:
        packaged = None if random or file is not None else lite.packaged_weights(name)
        return lite.load(lite.CARDS[name], file or packaged)
    if name in resnets.CARDS:
        return resnets.load(resnets.CARDS[name], file, download=not random)
    return timm_models.load(name, file, download=not random)


def _existing(weights: str | os.PathLike[str]) -> Path:
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    moved = os.environ.get(ENVIRONMENT)
    if moved and Path(moved).is_file():
        return Path(moved)
    raise ModelError(
        f"There is no weights file {path}: give safetensors or a state dict, or name it with "
        f"the environment variable {ENVIRONMENT}."
    )
