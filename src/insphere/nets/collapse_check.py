"""Finds the ways in which a network could learn a constant and map everything onto the centre.

Ruff et al. 2018, section 3.3: with a bias term in any layer (proposition 2), or with a bounded
activation that can saturate (proposition 3), weights exist for which φ(x; W) is the same for every
x, the sphere shrinks to a point, and the objective is zero.

A bounded activation on the path of the features is refused. As a mere factor of features it is
safe; `insphere.nets.attention.Gate` says why, and binds the two together.
"""

from __future__ import annotations

from torch import nn

_WEIGHT_ONLY = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
_BOUNDED = (
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Softmax,
    nn.Softsign,
    nn.LogSigmoid,
)


def collapse_paths(network: nn.Module) -> list[str]:
    """Name every part of `network` that lets a constant be learned.

    Parameters
    ----------
    network : torch.nn.Module
        An encoder.

    Returns
    -------
    list of str
        One phrase for each finding, naming the layer; empty if the network is safe.
    """
    findings: list[str] = []
    for name, module in network.named_modules():
        where = f"{name or 'the network'} ({type(module).__name__})"
        if isinstance(module, _BOUNDED):
            findings.append(f"{where} is bounded and can saturate to a constant")
            continue
        parameters = dict(module.named_parameters(recurse=False))
        if parameters.pop("bias", None) is not None:
            findings.append(f"{where} learns a bias")
        if not isinstance(module, _WEIGHT_ONLY):
            findings += [f"{where} learns {p!r} outside of a linear map" for p in parameters]
    return findings
