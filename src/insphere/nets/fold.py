"""Folds batch norm into the convolution before it: the same values with one pass less."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """Return a copy for evaluation whose convolutions also do the batch norm that follows them.

    Only neighbours in an `nn.Sequential` are folded, since there the order is certain. In the copy
    convolutions have a bias; it is for scoring and never trained.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; not changed.
    """
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for position in range(len(module) - 1):
            conv, norm = module[position], module[position + 1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[position] = fuse_conv_bn_eval(conv, norm)
                module[position + 1] = nn.Identity()
    return copied
