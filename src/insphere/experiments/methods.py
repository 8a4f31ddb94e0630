"""Every method that can be compared, by the name used in specs and on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.detectors.base import OneClassDetector


@dataclass(frozen=True)
class Method:
    """One detector class.

    Parameters
    ----------
    title : str
        Name for tables.
    path : str
        Module and class, imported when used.
    """

    title: str
    path: str


METHODS = {
    "deep-svdd": Method("Deep SVDD", "deep_svdd.DeepSVDD"),
    "untrained": Method("Deep SVDD, untrained", "deep_svdd.UntrainedDeepSVDD"),
    "fcdd": Method("Convolutional SVDD (FCDD-like)", "fcdd.ConvolutionalSVDD"),
    "dcae": Method("DCAE", "dcae.DeepCAE"),
    "anogan": Method("AnoGAN", "anogan.AnoGAN"),
    "fpsvdd": Method("FPSVDD", "feature_patch.FeaturePatchSVDD"),
    "feature-svdd": Method("Deep SVDD on pooled features", "feature_svdd.FeatureSVDD"),
    "feature-knn": Method("Nearest neighbours on features", "feature_rivals.FeatureKNN"),
    "feature-mahalanobis": Method("Mahalanobis on features", "feature_rivals.FeatureMahalanobis"),
    "feature-pca": Method("PCA reconstruction of features", "feature_rivals.FeaturePCA"),
    "patch-memory": Method("Patch memory (PatchCore)", "patch_memory.PatchMemory"),
    "oc-svm": Method("OC-SVM", "shallow.OCSVMDetector"),
    "isolation-forest": Method("Isolation forest", "shallow.IsolationForestDetector"),
    "knn": Method("2-nearest-neighbour on pixels", "shallow.KNNDetector"),
    "kde": Method("KDE", "shallow.KDEDetector"),
    "mahalanobis": Method("Mahalanobis", "shallow.MahalanobisDetector"),
    "softmax": Method("Softmax threshold (supervised)", "softmax.SoftmaxThreshold"),
}


def detector_class(method: str) -> type[OneClassDetector]:
    """Return the class behind a method's name.

    Raises
    ------
    SpecError
        If there is no such method.
    """
    if method not in METHODS:
        raise SpecError(f"Unknown method {method!r}; use one of {', '.join(METHODS)}.")
    module, name = METHODS[method].path.split(".")
    cls: type[OneClassDetector] = getattr(import_module(f"insphere.detectors.{module}"), name)
    return cls
