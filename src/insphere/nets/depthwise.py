"""Depthwise convolutions whose kernels are not trained, with a quick gradient of their input.

On CPUs torch computes this gradient of a depthwise convolution with a stride many times slower than
the convolution itself. It is a convolution as well: the gradient of the output, spread out by the
stride, with the kernels turned by half a turn (Dumoulin and Visin 2016, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def depthwise(network: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions that have one kernel for each channel."""
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
    ]


@contextmanager
def fixed_depthwise(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Fix the depthwise kernels of a network, and make the gradients of their inputs quick.

    Parameters
    ----------
    network : torch.nn.Module
        In this context its depthwise convolutions take another way on CPUs; values and gradients
        are the same but for rounding. Their weights stay without gradients afterwards.
    device : torch.device
        Device of the network.
    """
    changed = [_quick(conv) for conv in depthwise(network.requires_grad_(True))]
    try:
        for conv, forward in changed:
            conv.requires_grad_(False)
            if device.type == "cpu" and forward is not None:
                conv.forward = forward  # type: ignore[method-assign]
        yield
    finally:
        for conv, _ in changed:
            conv.__dict__.pop("forward", None)


def _quick(conv: nn.Conv2d) -> tuple[nn.Conv2d, Any]:
    """Return a convolution with another way to compute it; None where there is none."""
    before = getattr(conv, "static_padding", None)  # of EfficientNet-Lite
    usual = type(conv).forward is nn.Conv2d.forward or before is not None
    one_filter = conv.out_channels == conv.in_channels and conv.dilation == (1, 1)
    if not (usual and one_filter) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return conv, None
    down, across = conv.padding

    def forward(x: Tensor) -> Tensor:
        x = x if before is None else before(x)
        if down or across:
            x = F.pad(x, (across, across, down, down))
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        bias = None if conv.bias is None else conv.bias.to(x.dtype)
        out: Tensor = _Depthwise.apply(x, conv.weight.to(x.dtype), bias, conv.stride)
        return out

    return conv, forward


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution without padding, with a gradient for its input alone."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernels: Tensor, bias: Tensor | None, stride: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(kernels)
        ctx.size, ctx.stride = x.shape[2:], stride
        return F.conv2d(x, kernels, bias, stride, groups=len(kernels))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (kernels,), (grad,) = ctx.saved_tensors, grads
        height, width = kernels.shape[2:]
        down, across = ctx.stride
        if ctx.stride != (1, 1):
            rows, columns = ctx.size[0] - height + 1, ctx.size[1] - width + 1
            spread = grad.new_zeros(len(grad), rows, columns, grad.shape[1]).permute(0, 3, 1, 2)
            spread[:, :, ::down, ::across] = grad
            grad = spread
        turned = kernels.flip(2, 3).contiguous()
        padding = (height - 1, width - 1)
        return F.conv2d(grad, turned, padding=padding, groups=len(kernels)), None, None, None
