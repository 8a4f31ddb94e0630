"""A small fully convolutional network that says of each place how damaged it looks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from insphere.nets.place_sphere import USUAL_ODDS, PlaceSphere
from insphere.preprocess.pipeline import Preprocessor

LastLayer = Literal["odds", "sphere"]
"""What turns the features of a place into the log-odds that it is damaged."""


def block(inside: int, outside: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a 3×3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(),
    )


def output_stride(height: int, width: int) -> int:
    """Return how many pixels one place of the output is wide: 4 for photographs, fewer for icons.

    Examples
    --------
    >>> output_stride(320, 256), output_stride(64, 64), output_stride(28, 28)
    (4, 2, 1)
    """
    shorter = min(height, width)
    return 4 if shorter >= 96 else 2 if shorter >= 48 else 1


class SegmentationNet(nn.Module):
    """An encoder–decoder of the U-Net kind, with sums instead of concatenations.

    Ronneberger et al. (2015), "U-Net"; the sums are those of Lin et al. (2017), "Feature pyramid
    networks". The stem divides height and width by `stride`, each further level by 2. Two dilated
    convolutions at the last level look at a wide surrounding.

    Parameters
    ----------
    channels : int
        Of the images.
    widths : sequence of int
        Channels of the stem and of each level; at least two.
    stride : {1, 2, 4}
        Of the stem and of the output.
    last : {"odds", "sphere"}, default="odds"
        "odds" is a 1×1 convolution with a bias. "sphere" measures the distance of each place from a
        centre; see `PlaceSphere`.
    """

    point: nn.Conv2d | PlaceSphere

    def __init__(
        self, channels: int, widths: Sequence[int], stride: int, last: LastLayer = "odds"
    ) -> None:
        super().__init__()
        stem, *levels = widths
        first = 2 if stride > 1 else 1
        self.stem = nn.Sequential(
            block(channels, stem, first),
            block(stem, stem),
            block(stem, levels[0], stride // first),
        )
        self.encode = nn.ModuleList([block(levels[0], levels[0])])
        self.encode.extend(
            nn.Sequential(block(a, b, 2), block(b, b)) for a, b in itertools.pairwise(levels)
        )
        self.context = nn.Sequential(
            block(levels[-1], levels[-1], dilation=2), block(levels[-1], levels[-1], dilation=4)
        )
        self.narrow = nn.ModuleList(
            nn.Conv2d(b, a, 1, bias=False) for a, b in itertools.pairwise(levels)
        )
        self.decode = nn.ModuleList(block(a, a) for a in levels[:-1])
        if last == "sphere":
            self.point = PlaceSphere(levels[0])
        else:
            self.point = nn.Conv2d(levels[0], 1, 1)
            nn.init.constant_(self.point.bias, USUAL_ODDS)  # type: ignore[arg-type]

    def start(self, features: Tensor) -> None:
        """Place the centre of a sphere, from the features of normal images before the training."""
        if isinstance(self.point, PlaceSphere):
            self.point.start(features)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last layer sees, N×K×u×v."""
        x = self.stem(x)
        levels = []
        for encode in self.encode:
            x = encode(x)
            levels.append(x)
        x = x + self.context(x)
        for level in reversed(range(len(self.decode))):
            finer = levels[level]
            x = F.interpolate(self.narrow[level](x), size=finer.shape[-2:], mode="nearest") + finer
            x = self.decode[level](x)
        return x

    def logits(self, features: Tensor) -> Tensor:
        """Return the log-odds that a place is damaged, N×u×v, in float32."""
        with torch.autocast(features.device.type, enabled=False):
            dtype = next(self.point.parameters()).dtype
            out: Tensor = self.point(features.to(dtype))[:, 0]
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to the log-odds of each place, N×u×v."""
        return self.logits(self.features(x))


class AnomalySegmenter(nn.Module):
    """Preprocessing, network and score together.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the training normals.
    network : SegmentationNet
        The network.
    top : float
        Share of the places whose mean is the score of an image.
    """

    def __init__(self, preprocessor: Preprocessor, network: SegmentationNet, top: float) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.network = network
        self.top = top

    def places(self, x: Tensor) -> Tensor:
        """Return the log-odds of each place of raw images, shape (N, u, v)."""
        out: Tensor = self.network(self.preprocessor(x))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of the highest log-odds for each raw image, shape (N,)."""
        places = self.places(x).flatten(1)
        count = max(1, round(self.top * places.shape[1]))
        return places.topk(count, dim=1).values.mean(dim=1)

    def heat(self, x: Tensor) -> Tensor:
        """Return log(1 + odds) at the resolution of the images, shape (N, H, W), 0 or more."""
        heat = F.softplus(self.places(x))[:, None]
        large: Tensor = F.interpolate(heat, size=x.shape[-2:], mode="bilinear")[:, 0]
        return large
