"""Adam without torch's compiler, whose import takes as long as that of torch itself."""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import torch
from torch.optim import Optimizer


def _eager(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of an optimizer without what keeps the compiler from tracing it."""
    plain: Callable[..., Any] = unwrap(method)
    return plain


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, to the last bit.

    torch wraps these methods so that ``torch.compile`` does not trace them, and each wrapper
    imports the compiler (1.5 s). Trainings here are not compiled, so they are called directly.
    """

    add_param_group = _eager(Optimizer.add_param_group)
    zero_grad = _eager(Optimizer.zero_grad)
    state_dict = _eager(Optimizer.state_dict)
    load_state_dict = _eager(Optimizer.load_state_dict)
    step = torch.no_grad()(_eager(torch.optim.Adam.step))
