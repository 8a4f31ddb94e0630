"""Features of a pretrained network as a component that any detector on vectors can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from sklearn.base import TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted
from torch import nn

from insphere.data.inputs import as_images, training_images
from insphere.detectors.base.class_labels import classes_of_normals
from insphere.detectors.base.parameters import parameters
from insphere.detectors.frozen_features.pooled_features import Floats, PooledFeatures
from insphere.detectors.frozen_features.pretrained_network import Array, require_images
from insphere.errors import SpecError


@parameters
class PretrainedFeatures(TransformerMixin, PooledFeatures):  # type: ignore[misc]
    """A scikit-learn transformer from images to pooled vectors of a pretrained network.

    Parameters
    ----------
    stages, statistic, focus, normalize
        See `PooledFeatures`.
    backbone, weights, resolution, resampling, mirrored, finetune, cache
        See `PretrainedNetwork`.
    device, precision, callbacks, random_state
        See `PretrainedNetwork`.

    Attributes
    ----------
    backbone_, backbone_fingerprint_, finetune_history_
        See `PretrainedNetwork`.

    Examples
    --------
    >>> from insphere.detectors import KNNDetector, PretrainedFeatures
    >>> detector = KNNDetector(features=PretrainedFeatures(stages=["s7"], statistic="both"))
    >>> detector.get_params()["features__statistic"]
    'both'
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Load the network, and fine-tune it if `finetune` is given.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Normal images.
        y : array, shape (n,), optional
            The class of each; used by the objective "classes" of `finetune` alone.

        Raises
        ------
        DataError
            If X is a table.
        """
        images = training_images(X)
        require_images(images, self)
        self._open()
        self._adapt(images, classes_of_normals(y)[1])
        return self

    def transform(self, X: Any) -> Floats:
        """Return the vector of each image, float64, shape (n, d)."""
        check_is_fitted(self)
        images = as_images(X)
        require_images(images, self)
        return self._pooled(images)

    def vector_module(self) -> nn.Module:
        """Return `transform` as a torch module on raw images N×C×H×W."""
        check_is_fitted(self)
        return self._vector_module()

    @property
    def device_(self) -> torch.device:
        """Device of the network."""
        return self._extractor.device

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return the state for `restore`: arrays and JSON values, by name."""
        return self._backbone_arrays(), self._backbone_meta()

    def restore(self, arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> Self:
        """Load the network again, as `state` describes it.

        Raises
        ------
        ModelError
            If the weights on this computer are different.
        """
        self._restore_backbone(meta, arrays)
        return self


def unfitted_features(given: Any) -> PretrainedFeatures:
    """Return an unfitted copy of the component in the parameter `features` of a detector.

    Parameters
    ----------
    given : PretrainedFeatures or mapping
        The component, or its parameters.

    Raises
    ------
    SpecError
        If it is something else, or has an unknown parameter.
    """
    if isinstance(given, PretrainedFeatures):
        copy: PretrainedFeatures = clone(given)
        return copy
    known = sorted(PretrainedFeatures().get_params(deep=False))
    if not isinstance(given, Mapping) or not set(given) <= set(known):
        raise SpecError(
            f"features is None, PretrainedFeatures or a mapping of its parameters "
            f"({', '.join(known)}), but got {given!r}."
        )
    return PretrainedFeatures(**given)
