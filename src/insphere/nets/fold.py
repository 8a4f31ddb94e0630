"""Copies of networks for scoring: the same values with fewer passes over memory."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from insphere.nets.fused_pool import FEW_FILTERS, PLACES, shifted_kernels

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """Return a copy for evaluation in which convolutions absorb batch norm and pooling.

    Batch norm goes into the weights of the convolution before it, and pooling into a convolution
    of few filters. Only neighbours in an `nn.Sequential` are folded, since there the order is
    certain. In the copy convolutions have a bias; it is for scoring and never trained.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; not changed.
    """
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        if isinstance(module, nn.Sequential):
            _fold_norms(module)
            _fold_pools(module)
    return copied


def _fold_norms(row: nn.Sequential) -> None:
    for position in range(len(row) - 1):
        conv, norm = row[position], row[position + 1]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            row[position] = fuse_conv_bn_eval(conv, norm)
            row[position + 1] = nn.Identity()


def _fold_pools(row: nn.Sequential) -> None:
    for position in range(len(row) - 2):
        conv, between, pool = row[position : position + 3]
        if (
            isinstance(conv, nn.Conv2d)
            and conv.out_channels <= FEW_FILTERS
            and conv.padding == "same"
            and isinstance(between, nn.Identity)
            and isinstance(pool, nn.MaxPool2d)
            and pool.kernel_size == (2, 2)
        ):
            row[position] = PooledConvolution(conv)
            row[position + 2] = nn.Identity()


class PooledConvolution(nn.Module):
    """A convolution and the 2×2 max pooling after it.

    Pooling keeps the largest of four neighbouring places. Here one convolution with stride two and
    a kernel one pixel larger computes the four as channels of one place. It has four times as many
    filters to fill the vector units with, and pooling finds its four values side by side. On a CPU
    this takes less than half of the time where filters are few.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        The convolution, with stride one and padding "same".
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
        self.weight = nn.Parameter(shifted_kernels(conv.weight))
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.repeat(len(PLACES)))

    def forward(self, x: Tensor) -> Tensor:
        """Map N×C×H×W to N×F×⌊H/2⌋×⌊W/2⌋, in float32 or wider also under autocast."""
        with torch.autocast(x.device.type, enabled=False):  # few filters gain nothing by bfloat16
            x = x.to(self.weight.dtype)
            places = F.conv2d(x, self.weight, self.bias, stride=2, padding=self.padding)
        first, second, third, fourth = places.chunk(len(PLACES), dim=1)
        return torch.maximum(torch.maximum(first, second), torch.maximum(third, fourth))
