"""Folds batch norm into convolutions where the names of the two tell that they belong together."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_pairs(network: nn.Module, pairs: tuple[tuple[str, str], ...]) -> None:
    """Let convolutions do the batch norm that follows them, in place.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    pairs : tuple of (str, str)
        Names of a convolution and of its batch norm, as attributes of one module.
    """
    for module in network.modules():
        for conv_name, norm_name in pairs:
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
