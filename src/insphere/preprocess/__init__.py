"""Preprocessing fitted on training normals only and applied to whole batches."""

from insphere.preprocess.contrast import GlobalContrast
from insphere.preprocess.pipeline import (
    Preprocessor,
    StepSpec,
    default_steps,
    parse_steps,
)
from insphere.preprocess.scaling import MinMax, Standardize
from insphere.preprocess.whitening import ZCAWhitening

__all__ = [
    "GlobalContrast",
    "MinMax",
    "Preprocessor",
    "Standardize",
    "StepSpec",
    "ZCAWhitening",
    "default_steps",
    "parse_steps",
]
