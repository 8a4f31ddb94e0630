"""Fitting a small network to the representations of a trained encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from insphere.training.adam import Adam

FEWEST = 50
"""With fewer samples than this nothing should be fitted."""
STEPS = 1500
BATCH = 256
CHECK_EVERY = 25
APART = 0.2
"""Share of the samples that choose the step whose network is kept."""


def fit_held_out(
    loss: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    n: int,
    generator: torch.Generator,
    device: torch.device,
    *,
    lr: float,
    weight_decay: float = 0.0,
    keep: Callable[[], None],
) -> None:
    """Minimise a loss by Adam; the step is kept that is best on samples not trained on.

    Parameters
    ----------
    loss : callable
        From the places of some samples to their mean loss.
    parameters : iterable of torch.nn.Parameter
        What is changed in place.
    n : int
        Number of samples. A fifth of them is not trained on.
    generator : torch.Generator
        Of all draws, on the CPU.
    device : torch.device
        Where places are needed.
    lr, weight_decay : float
        Settings of Adam.
    keep : callable
        Called whenever the loss on the fifth is smaller than ever, that of the start included.
    """
    order = torch.randperm(n, generator=generator).to(device)
    apart, trained = order.tensor_split([round(APART * n)])
    adam = Adam(parameters, lr=lr, weight_decay=weight_decay)
    smallest = float(loss(apart).detach())
    for step in range(1, STEPS + 1):
        drawn = torch.randint(len(trained), (BATCH,), generator=generator)
        adam.zero_grad()
        with torch.enable_grad():
            loss(trained[drawn.to(device)]).backward()  # type: ignore[no-untyped-call]
        adam.step()
        if step % CHECK_EVERY == 0 and (now := float(loss(apart).detach())) < smallest:
            smallest = now
            keep()
