"""Long sums of a network as short ones in a fixed order, so that every runtime adds up alike.

A convolution adds up to a thousand numbers in float32, in an order that is the library's own.
oneDNN (in torch) takes another order for batches of another size, and ONNX Runtime yet another. The
sums differ in their last bits, which roots near zero, divisions by small spreads and steep
severities multiply. Of a band of up to 128 channels, both add one channel after the other.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Network = TypeVar("Network", bound=nn.Module)

WIDEST = 128
"""Channels that ONNX Runtime adds up in one go."""
COLOURS = 3


class BandedConvolution(nn.Module):
    """A convolution of each band of channels by itself, and the sum of them, one after the other.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        What to compute: of EfficientNet-Lite, with one group.
    bands : int
        Number of bands, all of one width.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: Any, bands: int) -> None:
        super().__init__()
        self.before: nn.Module = conv.static_padding  # as TensorFlow pads: not the same all round
        self.stride, self.bands, self.out = conv.stride, bands, conv.out_channels
        own = conv.weight.detach().unflatten(1, (bands, -1)).transpose(0, 1).flatten(0, 1)
        self.register_buffer("weight", own.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch N×C×H×W to N×out×h×w."""
        found = F.conv2d(self.before(x), self.weight, stride=self.stride, groups=self.bands)
        # Channels last, for one image too: the layout decides in which order torch adds up.
        first, *others = torch.split(found.permute(0, 2, 3, 1), self.out, dim=3)
        total: Tensor = first + self.bias
        for other in others:
            total = total + other
        return total.permute(0, 3, 1, 2)


def in_bands(network: Network) -> Network:
    """Return a network that scores on a CPU, with the same values but for rounding.

    In EfficientNet-Lite the first convolution, and those over more than `WIDEST` channels, are
    taken in bands. In other networks nothing is: most of the work of residual networks are
    convolutions of 3×3 pixels over many channels, each of which would be one band for itself.

    Parameters
    ----------
    network : torch.nn.Module
        Folded, in evaluation mode; not changed.

    Returns
    -------
    torch.nn.Module
        A copy that shares weights with the network; or the network, if nothing is taken in bands.
    """
    if all(bands_of(module) == 1 for module in network.modules()):
        return network
    shared: dict[int, Any] = {id(one): one for one in network.parameters()}
    copied = copy.deepcopy(network, shared | {id(one): one for one in network.buffers()})
    for module in list(copied.modules()):
        for name, conv in list(module.named_children()):
            if (bands := bands_of(conv)) > 1:
                setattr(module, name, BandedConvolution(conv, bands))
    return copied


def bands_of(module: nn.Module) -> int:
    """Return in how many bands a module is taken; 1 leaves it as it is."""
    ours = isinstance(module, nn.Conv2d) and hasattr(module, "static_padding")
    conv: Any = module
    if not ours or conv.groups > 1 or conv.bias is None:
        return 1
    channels = int(conv.in_channels)
    if conv.kernel_size != (1, 1):
        return channels if channels == COLOURS else 1
    return channels // max(n for n in range(1, WIDEST + 1) if channels % n == 0)
