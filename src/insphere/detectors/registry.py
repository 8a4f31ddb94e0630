"""Every method that can be compared, by the name used in specs and on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector


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
    "deep-svdd": Method("Deep SVDD", "spheres.deep_svdd.DeepSVDD"),
    "untrained": Method("Deep SVDD, untrained", "spheres.deep_svdd.UntrainedDeepSVDD"),
    "fcdd": Method(
        "Convolutional SVDD (FCDD-like)", "spheres.convolutional_svdd.ConvolutionalSVDD"
    ),
    "dcae": Method("DCAE", "reconstruction.autoencoder.DeepCAE"),
    "anogan": Method("AnoGAN", "reconstruction.anogan.AnoGAN"),
    "fpsvdd": Method("FPSVDD", "pretrained.fpsvdd.FeaturePatchSVDD"),
    "feature-svdd": Method("Deep SVDD on pooled features", "pretrained.feature_svdd.FeatureSVDD"),
    "feature-knn": Method("Nearest neighbours on features", "pretrained.feature_rivals.FeatureKNN"),
    "feature-mahalanobis": Method(
        "Mahalanobis on features", "pretrained.feature_rivals.FeatureMahalanobis"
    ),
    "feature-pca": Method("PCA reconstruction of features", "pretrained.feature_rivals.FeaturePCA"),
    "patch-memory": Method("Patch memory (PatchCore)", "pretrained.patch_memory.PatchMemory"),
    "oc-svm": Method("OC-SVM", "shallow.shallow.OCSVMDetector"),
    "isolation-forest": Method("Isolation forest", "shallow.shallow.IsolationForestDetector"),
    "knn": Method("2-nearest-neighbour on pixels", "shallow.shallow.KNNDetector"),
    "kde": Method("KDE", "shallow.shallow.KDEDetector"),
    "mahalanobis": Method("Mahalanobis", "shallow.shallow.MahalanobisDetector"),
    "softmax": Method("Softmax threshold (supervised)", "supervised.softmax.SoftmaxThreshold"),
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
    module, _, name = METHODS[method].path.rpartition(".")
    cls: type[OneClassDetector] = getattr(import_module(f"insphere.detectors.{module}"), name)
    return cls


def build_detector(
    method: str, params: Mapping[str, Any], *, seed: int, **extra: Any
) -> OneClassDetector:
    """Return an unfitted detector.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    params : mapping
        Constructor arguments that differ from the defaults.
    seed : int
        Becomes ``random_state`` where the detector has one.
    **extra
        Further arguments, passed on where the detector knows them.

    Raises
    ------
    SpecError
        If the method or one of `params` is unknown.
    """
    cls = detector_class(method)
    known = set(cls().get_params())
    unknown = sorted(set(params) - known)
    if unknown:
        raise SpecError(
            f"{method} has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}."
        )
    arguments = {key: value for key, value in extra.items() if key in known}
    if "random_state" in known:
        arguments["random_state"] = seed
    detector: OneClassDetector = cls(**arguments | dict(params))
    return detector
