"""Which device and which number format training and scoring run on."""

from __future__ import annotations

from typing import Literal

import torch

from insphere.errors import SpecError

Precision = Literal["auto", "float32", "bfloat16"]


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


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """Return the dtype for autocast, or None to compute in float32.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where the processor has it.
    device : torch.device
        Where the network runs.
    """
    if precision == "bfloat16" or (precision == "auto" and has_fast_bfloat16(device)):
        return torch.bfloat16
    return None
