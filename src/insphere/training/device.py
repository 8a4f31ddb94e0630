"""Device and number format of training and scoring."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import nn

from insphere.errors import SpecError

Precision = Literal["auto", "float32", "bfloat16"]
WIDE = 16


def resolve_device(name: str = "auto") -> torch.device:
    """Return the named device; "auto" takes CUDA, then Apple's GPU, then the CPU.

    Raises
    ------
    SpecError
        If the device is unknown or not present.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SpecError(f"Device {name!r} is not present here; use device='auto'.") from error
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself, instead of emulating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported is not None and supported())
    return False


def autocast_dtype(precision: Precision, network: nn.Module) -> torch.dtype | None:
    """Return the dtype for autocast, or None to compute in the network's own.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" uses bfloat16 if the processor has it and the network is wide enough to be faster
        with it.
    network : torch.nn.Module
        The network. One in float64 is never run in a lower precision.
    """
    weight = next(itertools.chain(network.parameters(), network.buffers()))
    if weight.dtype != torch.float32 or precision == "float32":
        return None
    gains = has_fast_bfloat16(weight.device) and is_wide(network)
    return torch.bfloat16 if precision == "bfloat16" or gains else None


def is_wide(network: nn.Module) -> bool:
    """Whether a convolution has enough channels to fill vectors of bfloat16."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    return any(min(m.in_channels, m.out_channels) >= WIDE for m in convolutions)
