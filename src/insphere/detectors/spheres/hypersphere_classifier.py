"""The hypersphere classifier: cross-entropy on the distance to a centre."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from insphere.detectors.spheres.deep_sad import DeepSAD


class HypersphereClassifier(DeepSAD):
    """The hypersphere classifier HSC (Liznerski et al. 2021).

    It is `DeepSAD` with another loss: with h = √(‖φ(x) − c‖² + 1) − 1, normal and unlabelled
    samples have the loss h, and labelled anomalies −log(1 − exp(−h)). This suits many and diverse
    anomalies, such as images of other things as outliers (outlier exposure; Hendrycks et al. 2019).
    Here c is the mean of a first pass, as in Deep SVDD; in the paper it is the origin. The
    parameters are those of `DeepSAD`.
    """

    card = replace(
        DeepSAD.card,
        key="hsc",
        title="Hypersphere classifier",
        summary="Deep SAD with the loss of a classifier, for many and diverse anomalies",
    )

    _loss: ClassVar[Literal["inverse", "cross-entropy"]] = "cross-entropy"
