"""What a network is made of, in a few words that can be written to YAML and JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt


class EncoderSpec(BaseModel):
    """Settings of an encoder φ(x; W).

    The defaults are the paper's rules against collapse: no bias, no affine normalisation, an
    unbounded activation.

    Parameters
    ----------
    kind : {"lenet", "mlp"}
        Convolutions with pooling for images, dense layers for tables.
    widths : tuple of int
        Channels of each convolution, or units of each hidden layer.
    rep_dim : int
        Length of the representation φ(x).
    kernel : int
        Side of the convolutions; odd.
    norm : {"batch", "none"}
        Normalisation after each hidden layer.
    norm_affine : bool
        Whether the normalisation learns a scale and a shift. Allows collapse.
    bias : bool
        Whether layers learn a bias. Allows collapse.
    activation : {"leaky_relu", "relu", "tanh", "sigmoid"}
        The last two are bounded and allow collapse.
    leakiness : float
        Slope of the leaky ReLU for negative inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["lenet", "mlp"] = "lenet"
    widths: tuple[PositiveInt, ...] = Field(default=(8, 4), min_length=1)
    rep_dim: PositiveInt = 32
    kernel: Literal[1, 3, 5, 7] = 5
    norm: Literal["batch", "none"] = "batch"
    norm_affine: bool = False
    bias: bool = False
    activation: Literal["leaky_relu", "relu", "tanh", "sigmoid"] = "leaky_relu"
    leakiness: float = Field(default=0.1, ge=0, lt=1)


MNIST = EncoderSpec(widths=(8, 4), rep_dim=32)
"""The paper's network for MNIST: 8×(5×5), pool, 4×(5×5), pool, dense 32."""

CIFAR10 = EncoderSpec(widths=(32, 64, 128), rep_dim=128)
"""The paper's network for CIFAR-10: 32, 64 and 128 5×5 filters, each pooled, dense 128."""

GTSRB = EncoderSpec(widths=(16, 32, 64), rep_dim=32)
"""The paper's network for GTSRB: 16, 32 and 64 5×5 filters, each pooled, dense 32."""

NAMED = {"mnist": MNIST, "cifar10": CIFAR10, "gtsrb": GTSRB}
