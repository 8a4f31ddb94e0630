"""Training computes gradients, whatever the caller has switched off."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def with_gradients(train: Callable[P, T]) -> Callable[P, T]:
    """Let a function that trains do so under `torch.no_grad` and `torch.inference_mode` too."""

    @wraps(train)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False), torch.enable_grad():
            return train(*args, **kwargs)

    return wrapped
