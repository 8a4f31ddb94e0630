"""Generator and discriminator of a DCGAN for images of 32 or 64 pixels (Radford et al. 2016)."""

from __future__ import annotations

import math

from torch import Tensor, nn

SMALLEST_MAP = 4
SIDES = (32, 64)


class Generator(nn.Module):
    """From latent vectors to images between −1 and 1.

    A dense layer to a map of 4×4, then a transposed convolution with stride 2 for each doubling,
    batch norm and ReLU after all but the last, which ends in tanh.

    Parameters
    ----------
    latent_dim : int
        Length of a latent vector.
    channels : int
        Channels of the images.
    side : {32, 64}
        Height and width of the images.
    width : int
        Feature maps at half the side; twice as many at each smaller one.
    """

    def __init__(self, latent_dim: int, channels: int, side: int, width: int) -> None:
        super().__init__()
        widths = _widths(side, width)[::-1]
        self.dense = nn.Linear(latent_dim, widths[0] * SMALLEST_MAP**2, bias=False)
        self.unflatten = nn.Unflatten(1, (widths[0], SMALLEST_MAP, SMALLEST_MAP))
        layers: list[nn.Module] = []
        for n_in, n_out in zip(widths, [*widths[1:], channels], strict=True):
            layers += [nn.BatchNorm2d(n_in), nn.ReLU()]
            layers.append(nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1, bias=False))
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(_initialise)

    def forward(self, z: Tensor) -> Tensor:
        """Map N×latent_dim to N×C×side×side."""
        image: Tensor = self.layers(self.unflatten(self.dense(z)))
        return image


class Discriminator(nn.Module):
    """From images to a logit: positive where it takes the image for real.

    Convolutions with stride 2 down to a map of 4×4, batch norm after all but the first, leaky
    ReLU; the last map is the feature layer that the anomaly score compares.

    Parameters
    ----------
    channels, side, width
        As in `Generator`.
    """

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage, filters in enumerate(_widths(side, width)):
            layers.append(nn.Conv2d(channels, filters, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(filters)] if stage else []
            layers.append(nn.LeakyReLU(0.2))
            channels = filters
        self.features = nn.Sequential(*layers)
        self.logit = nn.Conv2d(channels, 1, SMALLEST_MAP, bias=False)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×side×side to logits, shape (N,)."""
        logits: Tensor = self.logit(self.features(x))
        return logits.flatten()


def _widths(side: int, width: int) -> list[int]:
    """Feature maps at half, quarter, … of the side, down to a map of 4×4."""
    stages = int(math.log2(side // SMALLEST_MAP))
    return [width * 2**stage for stage in range(stages)]


def _initialise(module: nn.Module) -> None:
    """Draw weights as Radford et al. do: N(0, 0.02), scales of batch norm N(1, 0.02)."""
    if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
