"""Small networks behind an encoder that are used in a pretraining and then left out."""

from __future__ import annotations

from torch import nn

from insphere.nets.batch_norm import BatchNorm1d


def projector(n_in: int, hidden: int, n_out: int) -> nn.Sequential:
    """Return two linear layers with batch norm and ReLU between them.

    Parameters
    ----------
    n_in, hidden, n_out : int
        Lengths of the vectors before, between and after the layers.
    """
    return nn.Sequential(
        nn.Linear(n_in, hidden, bias=False),
        BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, n_out),
    )
