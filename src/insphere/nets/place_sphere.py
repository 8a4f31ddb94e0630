"""A sphere for every place of a feature map, as the last layer of a network that finds damage."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

USUAL_ODDS = -3.0
"""Log-odds that a place is damaged, before the training: few places are."""
SMALLEST = 1e-6
"""Least distance, so that its logarithm is finite."""


class PlaceSphere(nn.Module):
    """Log-odds that a place is damaged, from its distance to a centre.

    Each place has the representation z, a 1×1 convolution of its features without a bias. With
    h = √(‖z − c‖² + 1) − 1, a place is normal with probability exp(−h), so that the log-odds of
    damage are log(exp(h) − 1), and log(1 + odds) is h itself. The cross-entropy of these odds is
    the objective of a convolutional sphere that is shown anomalies and their masks: h for normal
    and −log(1 − exp(−h)) for damaged places (Liznerski et al. 2021, "Explainable deep one-class
    classification", equation 3, with all places weighed alike).

    Parameters
    ----------
    features : int
        Channels of the feature map, and length of the representation.
    """

    center: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.represent = nn.Conv2d(features, features, 1, bias=False)
        self.register_buffer("center", torch.zeros(features))

    @torch.no_grad()
    def start(self, features: Tensor) -> None:
        """Make the mean of normal places the centre, and h as small as few damaged places ask for.

        Parameters
        ----------
        features : Tensor, shape (N, K, u, v)
            Features of normal images, before the training.
        """
        z = self.represent(features.to(self.center.dtype))
        center = z.mean(dim=(0, 2, 3))
        squared = (z - center[:, None, None]).square().sum(dim=1).mean()
        usual = math.log1p(math.exp(USUAL_ODDS))
        scale = math.sqrt(usual * (usual + 2)) / squared.sqrt().clamp_min(SMALLEST)
        self.represent.weight.mul_(scale)
        self.center.copy_(center * scale)

    def distances(self, features: Tensor) -> Tensor:
        """Return h of each place: features N×K×u×v to N×u×v."""
        squared = (self.represent(features) - self.center[:, None, None]).square().sum(dim=1)
        h: Tensor = squared / ((squared + 1).sqrt() + 1)  # √(d² + 1) − 1, keeping small digits
        return h

    def forward(self, features: Tensor) -> Tensor:
        """Return the log-odds of each place: features N×K×u×v to N×1×u×v."""
        h = self.distances(features)[:, None].clamp_min(SMALLEST)
        near = (2 * torch.sinh(h.clamp_max(1) / 2)).log() + h / 2
        far = h + torch.log1p(-torch.exp(-h))
        return torch.where(h < 1, near, far)
