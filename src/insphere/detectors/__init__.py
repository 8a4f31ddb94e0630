"""Detectors: scikit-learn outlier estimators for images, and how they are saved."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insphere.detectors.anogan import AnoGAN
    from insphere.detectors.base import OneClassDetector
    from insphere.detectors.dcae import DeepCAE
    from insphere.detectors.deep_svdd import DeepSVDD, UntrainedDeepSVDD
    from insphere.detectors.fcdd import ConvolutionalSVDD
    from insphere.detectors.feature_patch import FeaturePatchSVDD
    from insphere.detectors.feature_rivals import FeatureKNN, FeatureMahalanobis, FeaturePCA
    from insphere.detectors.feature_svdd import FeatureSVDD
    from insphere.detectors.patch_memory import PatchMemory
    from insphere.detectors.persistence import describe_model, load_detector, save_detector
    from insphere.detectors.shallow import (
        IsolationForestDetector,
        KDEDetector,
        KNNDetector,
        MahalanobisDetector,
        OCSVMDetector,
    )
    from insphere.detectors.softmax import SoftmaxThreshold

__all__ = [
    "AnoGAN",
    "ConvolutionalSVDD",
    "DeepCAE",
    "DeepSVDD",
    "FeatureKNN",
    "FeatureMahalanobis",
    "FeaturePCA",
    "FeaturePatchSVDD",
    "FeatureSVDD",
    "IsolationForestDetector",
    "KDEDetector",
    "KNNDetector",
    "MahalanobisDetector",
    "OCSVMDetector",
    "OneClassDetector",
    "PatchMemory",
    "SoftmaxThreshold",
    "UntrainedDeepSVDD",
    "describe_model",
    "load_detector",
    "save_detector",
]

# Imported when first asked for, so that a shallow detector does not pay for torch.
_HOME = {
    "AnoGAN": "anogan",
    "ConvolutionalSVDD": "fcdd",
    "DeepCAE": "dcae",
    "DeepSVDD": "deep_svdd",
    "FeatureKNN": "feature_rivals",
    "FeatureMahalanobis": "feature_rivals",
    "FeaturePCA": "feature_rivals",
    "FeaturePatchSVDD": "feature_patch",
    "FeatureSVDD": "feature_svdd",
    "IsolationForestDetector": "shallow",
    "KDEDetector": "shallow",
    "KNNDetector": "shallow",
    "MahalanobisDetector": "shallow",
    "OCSVMDetector": "shallow",
    "OneClassDetector": "base",
    "PatchMemory": "patch_memory",
    "SoftmaxThreshold": "softmax",
    "UntrainedDeepSVDD": "deep_svdd",
    "describe_model": "persistence",
    "load_detector": "persistence",
    "save_detector": "persistence",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
