"""Random draws that belong to one fit, not to the process.

PyTorch's default generator is shared by all threads of a process, so two fits at once would take
numbers from each other. Initial weights are drawn under a lock with the default generator set
aside; everything that is drawn during training comes from generators of the fit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

_BUILDING = threading.RLock()


class Draws:
    """Generators with one seed, one for each device.

    Parameters
    ----------
    seed : int
        Of all of them.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device) -> torch.Generator:
        """Return the generator for tensors on a device."""
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]


_CURRENT: ContextVar[Draws | None] = ContextVar("draws", default=None)


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Build a network with the initial weights of a seed; other threads wait this moment.

    The caller's random state stays as it was.
    """
    with _BUILDING, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Let `current_draws` and dropout inside draw from generators with this seed."""
    token = _CURRENT.set(Draws(seed))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_draws(device: torch.device) -> torch.Generator | None:
    """Return the generator of the fit that runs in this thread; None outside of `drawing`."""
    draws = _CURRENT.get()
    return None if draws is None else draws.on(device)


class Dropout(nn.Module):
    """`torch.nn.Dropout`, drawing from the fit's own generator; the same values for one seed.

    Parameters
    ----------
    p : float
        Probability that a value is set to zero while training, in [0, 1).
    whole_maps : bool, default=False
        Set whole channels of N×C×H×W to zero, as `torch.nn.Dropout2d` does.
    """

    def __init__(self, p: float, *, whole_maps: bool = False) -> None:
        super().__init__()
        self.p, self.whole_maps = p, whole_maps

    def forward(self, x: Tensor) -> Tensor:
        """Set values to zero while training, and scale the others up."""
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty((*x.shape[:2], 1, 1)) if self.whole_maps else torch.empty_like(x)
        kept.bernoulli_(1 - self.p, generator=current_draws(x.device)).div_(1 - self.p)
        return x * kept

    def extra_repr(self) -> str:
        """Say the parameters."""
        return f"p={self.p}, whole_maps={self.whole_maps}"
