"""The encoders of windows that a detector can name. A new one needs a file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from insphere.nets.series.dilated import DilatedEncoder
from insphere.nets.series.recurrent import RecurrentEncoder
from insphere.nets.series.transformer import TransformerEncoder

ENCODERS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "convolution": DilatedEncoder,
    "gru": RecurrentEncoder,
    "transformer": TransformerEncoder,
}
"""From channels, length of a window and width to an encoder N×C×T → N×C×T that is the identity."""
