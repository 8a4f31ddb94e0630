"""A centre at every place of the feature map: the distances are the heat map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from insphere.preprocess.pipeline import Preprocessor


class ConvolutionalHead(nn.Module):
    """The convolutional stages of an encoder and a 1×1 convolution instead of its dense layer.

    Parameters
    ----------
    stages : torch.nn.Module
        From images N×C×H×W to maps N×K×u×v.
    features : int
        K.
    rep_dim : int
        Length of the representation of each place.
    """

    def __init__(self, stages: nn.Module, features: int, rep_dim: int) -> None:
        super().__init__()
        self.stages = stages
        self.point = nn.Conv2d(features, rep_dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to representations of places, N×rep_dim×u×v, in float32."""
        maps = self.stages(x)
        with torch.autocast(x.device.type, enabled=False):  # distances need all their digits
            out: Tensor = self.point(maps.to(self.point.weight.dtype))
        return out


class ConvolutionalSphere(nn.Module):
    """Preprocessing, network and centres together.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the training normals.
    head : ConvolutionalHead
        φ(x; W).
    center : Tensor, shape (rep_dim, u, v)
        The centre of each place.
    """

    center: Tensor

    def __init__(self, preprocessor: Preprocessor, head: ConvolutionalHead, center: Tensor) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.head = head
        self.register_buffer("center", center)

    def places(self, x: Tensor) -> Tensor:
        """Return the pseudo-Huber distance of each place of raw images, shape (N, u, v)."""
        z = self.head(self.preprocessor(x)).to(self.center.dtype)
        return pseudo_huber((z - self.center).square().sum(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over places for each raw image, shape (N,)."""
        return self.places(x).mean(dim=(1, 2))

    def heat(self, x: Tensor) -> Tensor:
        """Return the distances at the resolution of the images, shape (N, H, W)."""
        return spread_over(self.places(x), x.shape[-2:])


def pseudo_huber(squared: Tensor) -> Tensor:
    """√(d² + 1) − 1: like d²/2 near the centre, like d far away, so that no place dominates."""
    return (squared + 1).sqrt() - 1


def spread_over(places: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge maps (N, u, v) to (N, H, W): each place becomes a Gaussian bell around its middle.

    The bells are as wide as the places are far apart, and their weights sum to 1 at every pixel
    (Liznerski et al. 2021, "Explainable deep one-class classification", enlarge likewise).
    """
    rows, columns = (
        _bells(small, large, places) for small, large in zip(places.shape[1:], size, strict=True)
    )
    return torch.einsum("hu,nuv,wv->nhw", rows, places, columns)


def _bells(small: int, large: int, like: Tensor) -> Tensor:
    apart = large / small
    middles = (torch.arange(small, device=like.device, dtype=like.dtype) + 0.5) * apart
    pixels = torch.arange(large, device=like.device, dtype=like.dtype) + 0.5
    return F.softmax(-((pixels[:, None] - middles) ** 2) / (2 * (apart / 2) ** 2), dim=1)
