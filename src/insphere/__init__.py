"""insphere: one-class deep learning for images.

A detector is trained on normal examples alone, and gives every new one a score: the higher, the
more anomalous.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from insphere._version import __version__
from insphere.lazy_names import lazy_names

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
    "DeepSAD": "detectors",
    "DeepSVDD": "detectors",
    "FeaturePatchSVDD": "detectors",
    "ImageSet": "data",
    "OneClassSplit": "data",
    "ReadOptions": "data",
    "choose": "workflows.choose",
    "load": "detectors:load_detector",
    "load_dataset": "data",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME.get)
