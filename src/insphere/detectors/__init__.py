"""Detectors: scikit-learn outlier estimators for images, and how they are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from insphere.detectors.method_table import METHODS
from insphere.lazy_names import lazy_names

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector as OneClassDetector
    from insphere.detectors.base.method_card import MethodCard as MethodCard
    from insphere.detectors.frozen_features.pretrained_features import (
        PretrainedFeatures as PretrainedFeatures,
    )
    from insphere.detectors.model_folder import describe_model as describe_model
    from insphere.detectors.model_folder import load_detector as load_detector
    from insphere.detectors.model_folder import save_detector as save_detector

# For type checkers; written by `python benchmarks/quote.py` from the table of methods.
if TYPE_CHECKING:
    from insphere.detectors.combined.combination import Combination as Combination
    from insphere.detectors.graphs.graph_knn import GraphKNN as GraphKNN
    from insphere.detectors.graphs.ocgnn import OCGNN as OCGNN
    from insphere.detectors.pretrained.feature_alternatives import (
        FeatureAlternatives as FeatureAlternatives,
    )
    from insphere.detectors.pretrained.feature_knn import FeatureKNN as FeatureKNN
    from insphere.detectors.pretrained.feature_mahalanobis import (
        FeatureMahalanobis as FeatureMahalanobis,
    )
    from insphere.detectors.pretrained.feature_pca import FeaturePCA as FeaturePCA
    from insphere.detectors.pretrained.feature_svdd import FeatureSVDD as FeatureSVDD
    from insphere.detectors.pretrained.feature_vim import FeatureViM as FeatureViM
    from insphere.detectors.pretrained.fpsvdd import FeaturePatchSVDD as FeaturePatchSVDD
    from insphere.detectors.pretrained.patch_discriminator import (
        PatchDiscriminator as PatchDiscriminator,
    )
    from insphere.detectors.pretrained.patch_gaussian import PatchGaussian as PatchGaussian
    from insphere.detectors.pretrained.patch_memory import PatchMemory as PatchMemory
    from insphere.detectors.reconstruction.anogan import AnoGAN as AnoGAN
    from insphere.detectors.reconstruction.autoencoder import DeepCAE as DeepCAE
    from insphere.detectors.self_supervised.anomaly_segmentation import (
        AnomalySegmentation as AnomalySegmentation,
    )
    from insphere.detectors.shallow.isolation_forest import (
        IsolationForestDetector as IsolationForestDetector,
    )
    from insphere.detectors.shallow.kde import KDEDetector as KDEDetector
    from insphere.detectors.shallow.knn import KNNDetector as KNNDetector
    from insphere.detectors.shallow.mahalanobis import MahalanobisDetector as MahalanobisDetector
    from insphere.detectors.shallow.oc_svm import OCSVMDetector as OCSVMDetector
    from insphere.detectors.spheres.convolutional_svdd import ConvolutionalSVDD as ConvolutionalSVDD
    from insphere.detectors.spheres.deep_sad import DeepSAD as DeepSAD
    from insphere.detectors.spheres.deep_svdd import DeepSVDD as DeepSVDD
    from insphere.detectors.spheres.fcdd import LabelledFCDD as LabelledFCDD
    from insphere.detectors.spheres.hypersphere_classifier import (
        HypersphereClassifier as HypersphereClassifier,
    )
    from insphere.detectors.spheres.series_svdd import SeriesSVDD as SeriesSVDD
    from insphere.detectors.spheres.table_svdd import TableSVDD as TableSVDD
    from insphere.detectors.spheres.untrained import UntrainedDeepSVDD as UntrainedDeepSVDD
    from insphere.detectors.supervised.softmax import SoftmaxThreshold as SoftmaxThreshold
    from insphere.detectors.texts.cvdd import CVDD as CVDD
    from insphere.detectors.texts.text_knn import TextKNN as TextKNN
    from insphere.detectors.texts.text_mahalanobis import TextMahalanobis as TextMahalanobis
    from insphere.detectors.texts.text_surprise import TextSurprise as TextSurprise
    from insphere.detectors.texts.text_svdd import TextSVDD as TextSVDD
# end

# Imported at first use, so that a shallow detector does not need to import torch.
_OTHERS = {
    "MethodCard": "base.method_card",
    "OneClassDetector": "base.estimator",
    "PretrainedFeatures": "frozen_features.pretrained_features",
    "describe_model": "model_folder",
    "load_detector": "model_folder",
    "save_detector": "model_folder",
}

__all__ = sorted([*_OTHERS, *(entry.class_name for entry in METHODS.values())])


def _place_of(name: str) -> str | None:
    places = {entry.class_name: entry.place for entry in METHODS.values()}
    return (places | _OTHERS).get(name)


__getattr__, __dir__ = lazy_names(__name__, _place_of)
