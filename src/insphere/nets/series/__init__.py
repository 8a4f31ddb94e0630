"""Encoders of windows of a series, which start as the identity and have no biases."""

from insphere.nets.series.dilated import DilatedEncoder
from insphere.nets.series.recurrent import RecurrentEncoder
from insphere.nets.series.table import ENCODERS
from insphere.nets.series.transformer import TransformerEncoder

__all__ = ["ENCODERS", "DilatedEncoder", "RecurrentEncoder", "TransformerEncoder"]
