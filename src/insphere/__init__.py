"""insphere: one-class deep learning for images.

A detector is trained on normal examples alone, and gives every new one a score: the higher, the
more anomalous.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from insphere._version import __version__

if TYPE_CHECKING:
    from insphere.data import ImageSet, OneClassSplit, ReadOptions, load_dataset
    from insphere.detectors import DeepSAD, DeepSVDD, FeaturePatchSVDD
    from insphere.detectors import load_detector as load
    from insphere.workflows.choose import choose

__all__ = [
    "DeepSAD",
    "DeepSVDD",
    "FeaturePatchSVDD",
    "ImageSet",
    "OneClassSplit",
    "ReadOptions",
    "__version__",
    "choose",
    "load",
    "load_dataset",
]

# OpenMP reads this when torch is imported. Waiting threads that spin cost little on an idle
# machine, but make training several times slower beside any other program that computes.
if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Imported at first use, so that `import insphere` is fast.
_HOME = {
    "DeepSAD": ("insphere.detectors", "DeepSAD"),
    "DeepSVDD": ("insphere.detectors", "DeepSVDD"),
    "FeaturePatchSVDD": ("insphere.detectors", "FeaturePatchSVDD"),
    "ImageSet": ("insphere.data", "ImageSet"),
    "OneClassSplit": ("insphere.data", "OneClassSplit"),
    "ReadOptions": ("insphere.data", "ReadOptions"),
    "choose": ("insphere.workflows.choose", "choose"),
    "load": ("insphere.detectors", "load_detector"),
    "load_dataset": ("insphere.data", "load_dataset"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
