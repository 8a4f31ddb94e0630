"""Gradients for training, even if the caller has disabled them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def with_gradients(train: Callable[P, T]) -> Callable[P, T]:
    """Enable gradients in a function, even under `torch.no_grad` and `torch.inference_mode`."""

    @wraps(train)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False), torch.enable_grad():
            return train(*args, **kwargs)

    return wrapped
