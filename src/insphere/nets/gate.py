"""A bounded activation in the one place where it is safe: as a factor."""

from __future__ import annotations

from torch import Tensor, nn


class Gate(nn.Module):
    """Multiply features by σ(logits), each factor between 0 and 1.

    A sigmoid on the path of the features lets a network learn a constant: once saturated, it gives
    1 whatever the image (Ruff et al. 2018, proposition 3). As a factor on a path without biases it
    does not: where the features are zero the product is zero, the product is never longer than the
    features, and a saturated gate gives either the features themselves or nothing. Full saturation
    therefore leaves a network without gates, or zero, and the centre is kept away from zero.

    The module takes features *and* logits and multiplies by itself, so that the sigmoid cannot be
    used without the features. `collapse_paths` therefore accepts it and goes on refusing every
    `torch.nn.Sigmoid`. What remains possible is a gate that undoes part of the variation of its
    features over the training normals, as any trained layer may; that is what the collapse guard
    watches.
    """

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return features · σ(logits); `logits` broadcasts over `features`."""
        return features * logits.sigmoid()
