"""Detectors: scikit-learn outlier estimators for images, and how they are saved."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector
    from insphere.detectors.persistence.model_folder import (
        describe_model,
        load_detector,
        save_detector,
    )
    from insphere.detectors.pretrained.feature_rivals import (
        FeatureKNN,
        FeatureMahalanobis,
        FeaturePCA,
    )
    from insphere.detectors.pretrained.feature_svdd import FeatureSVDD
    from insphere.detectors.pretrained.fpsvdd import FeaturePatchSVDD
    from insphere.detectors.pretrained.patch_memory import PatchMemory
    from insphere.detectors.reconstruction.anogan import AnoGAN
    from insphere.detectors.reconstruction.autoencoder import DeepCAE
    from insphere.detectors.shallow.shallow import (
        IsolationForestDetector,
        KDEDetector,
        KNNDetector,
        MahalanobisDetector,
        OCSVMDetector,
    )
    from insphere.detectors.spheres.convolutional_svdd import ConvolutionalSVDD
    from insphere.detectors.spheres.deep_svdd import DeepSVDD, UntrainedDeepSVDD
    from insphere.detectors.supervised.softmax import SoftmaxThreshold

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
    "AnoGAN": "reconstruction.anogan",
    "ConvolutionalSVDD": "spheres.convolutional_svdd",
    "DeepCAE": "reconstruction.autoencoder",
    "DeepSVDD": "spheres.deep_svdd",
    "FeatureKNN": "pretrained.feature_rivals",
    "FeatureMahalanobis": "pretrained.feature_rivals",
    "FeaturePCA": "pretrained.feature_rivals",
    "FeaturePatchSVDD": "pretrained.fpsvdd",
    "FeatureSVDD": "pretrained.feature_svdd",
    "IsolationForestDetector": "shallow.shallow",
    "KDEDetector": "shallow.shallow",
    "KNNDetector": "shallow.shallow",
    "MahalanobisDetector": "shallow.shallow",
    "OCSVMDetector": "shallow.shallow",
    "OneClassDetector": "base.estimator",
    "PatchMemory": "pretrained.patch_memory",
    "SoftmaxThreshold": "supervised.softmax",
    "UntrainedDeepSVDD": "spheres.deep_svdd",
    "describe_model": "persistence.model_folder",
    "load_detector": "persistence.model_folder",
    "save_detector": "persistence.model_folder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
