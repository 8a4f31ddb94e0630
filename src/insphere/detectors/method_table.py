"""The list of all methods, with the module and the aliases of each.

A new method needs one line here and one file, whose class describes the method in its `MethodCard`.
The table is plain text, so that methods can be listed and saved models checked without importing
any of them. It is also a whitelist: no other class can be loaded.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import NamedTuple

from insphere.errors import SpecError


class Entry(NamedTuple):
    """A line of the table.

    Parameters
    ----------
    place : str
        ``module:Class``, the module below ``insphere.detectors``.
    aliases : tuple of str
        Other names. Letter case, spaces, ``-`` and ``_`` are ignored.
    """

    place: str
    aliases: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Full name of the module."""
        return f"insphere.detectors.{self.place.partition(':')[0]}"

    @property
    def class_name(self) -> str:
        """Name of the class, under which models are saved."""
        return self.place.partition(":")[2]


METHODS = {
    "deep-svdd": Entry("spheres.deep_svdd:DeepSVDD", ("svdd",)),
    "series-svdd": Entry("spheres.series_svdd:SeriesSVDD"),
    "table-svdd": Entry("spheres.table_svdd:TableSVDD"),
    "deep-sad": Entry("spheres.deep_sad:DeepSAD", ("sad",)),
    "hsc": Entry(
        "spheres.hypersphere_classifier:HypersphereClassifier", ("hypersphere-classifier",)
    ),
    "untrained": Entry("spheres.untrained:UntrainedDeepSVDD"),
    "fcdd": Entry("spheres.convolutional_svdd:ConvolutionalSVDD"),
    "fcdd-labelled": Entry("spheres.fcdd:LabelledFCDD"),
    "dcae": Entry("reconstruction.autoencoder:DeepCAE", ("ae", "cae", "autoencoder")),
    "anogan": Entry("reconstruction.anogan:AnoGAN", ("gan",)),
    "segmentation": Entry("self_supervised.anomaly_segmentation:AnomalySegmentation"),
    "fpsvdd": Entry("pretrained.fpsvdd:FeaturePatchSVDD"),
    "feature-svdd": Entry("pretrained.feature_svdd:FeatureSVDD"),
    "feature-knn": Entry("pretrained.feature_knn:FeatureKNN"),
    "feature-mahalanobis": Entry("pretrained.feature_mahalanobis:FeatureMahalanobis"),
    "feature-pca": Entry("pretrained.feature_pca:FeaturePCA"),
    "feature-alternatives": Entry("pretrained.feature_alternatives:FeatureAlternatives"),
    "feature-vim": Entry("pretrained.feature_vim:FeatureViM", ("vim",)),
    "patch-memory": Entry("pretrained.patch_memory:PatchMemory", ("patchcore",)),
    "patch-gaussian": Entry("pretrained.patch_gaussian:PatchGaussian", ("padim",)),
    "patch-discriminator": Entry(
        "pretrained.patch_discriminator:PatchDiscriminator", ("simplenet", "glass")
    ),
    "oc-svm": Entry("shallow.oc_svm:OCSVMDetector", ("svm", "one-class-svm")),
    "isolation-forest": Entry(
        "shallow.isolation_forest:IsolationForestDetector", ("if", "iforest")
    ),
    "knn": Entry("shallow.knn:KNNDetector", ("nearest-neighbours", "nearest-neighbors")),
    "kde": Entry("shallow.kde:KDEDetector", ("parzen",)),
    "mahalanobis": Entry("shallow.mahalanobis:MahalanobisDetector"),
    "text-mahalanobis": Entry("texts.text_mahalanobis:TextMahalanobis", ("text",)),
    "text-knn": Entry("texts.text_knn:TextKNN"),
    "text-svdd": Entry("texts.text_svdd:TextSVDD"),
    "graph-knn": Entry("graphs.graph_knn:GraphKNN", ("graph",)),
    "ocgnn": Entry("graphs.ocgnn:OCGNN"),
    "text-surprise": Entry("texts.text_surprise:TextSurprise"),
    "cvdd": Entry("texts.cvdd:CVDD"),
    "combination": Entry("combined.combination:Combination", ("fisher",)),
    "softmax": Entry("supervised.softmax:SoftmaxThreshold"),
}
"""Every method, by the key that specs and the command line use."""


def find_method(name: str) -> str | None:
    """Return the key of a method by its key, an alias or the name of its class, or None.

    Examples
    --------
    >>> find_method("PatchCore"), find_method("OC_SVM"), find_method("KNNDetector")
    ('patch-memory', 'oc-svm', 'knn')
    """
    return name if name in METHODS else _names().get(_plain(name))


def method_key(name: str) -> str:
    """Return the key of a method, as `find_method` does.

    Raises
    ------
    SpecError
        If there is no such method; the message suggests one with a similar name.
    """
    key = find_method(name)
    if key is not None:
        return key
    names = _names()
    close = get_close_matches(_plain(name), names, n=1)
    hint = f"did you mean {names[close[0]]}?" if close else f"use one of {', '.join(METHODS)}."
    raise SpecError(f"Unknown method {name}; {hint}")


def method_of_class(class_name: str) -> str | None:
    """Return the key of the method whose class has this name, or None."""
    return next((key for key, entry in METHODS.items() if entry.class_name == class_name), None)


def class_names() -> list[str]:
    """Return the names of all classes of methods, the only ones that a saved model may name."""
    return sorted(entry.class_name for entry in METHODS.values())


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _names() -> dict[str, str]:
    """Return the keys by all their names, without case, spaces and hyphens."""
    return {
        _plain(name): key
        for key, entry in METHODS.items()
        for name in (entry.class_name, *entry.aliases, key)
    }
