"""First steps that two modules have in common, so that an exported graph has them once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def split_shared(first: nn.Module, second: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Split two modules into the steps that both begin with, and the rest of each.

    Only modules of type `torch.nn.Sequential` have steps. Those within one another count as one
    sequence.

    Parameters
    ----------
    first, second : torch.nn.Module
        Modules that are applied to the same input.

    Returns
    -------
    shared, first, second : torch.nn.Module
        What each of the two given ones computes is the shared module followed by its rest.
    """
    one, other = _steps(first), _steps(second)
    count = 0
    while count < min(len(one), len(other)) and _alike(one[count], other[count]):
        count += 1
    if not count:
        return nn.Identity(), first, second
    shared = nn.Sequential(*one[:count])
    return shared, nn.Sequential(*one[count:]), nn.Sequential(*other[count:])


def _steps(module: nn.Module) -> list[nn.Module]:
    if type(module) is not nn.Sequential:
        return [module]
    return [step for inner in module for step in _steps(inner)]


def _alike(a: Any, b: Any) -> bool:
    """Whether two modules compute the same: they have one type, and equal values in all they hold.

    Other objects are compared too, as parts of modules.
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, nn.Module):
        return _alike(vars(a), vars(b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_alike(value, b[key]) for key, value in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)
