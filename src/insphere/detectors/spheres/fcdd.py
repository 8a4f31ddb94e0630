"""FCDD: a fully convolutional sphere that is shown anomalies, with masks of some."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.class_labels import anomaly_labels
from insphere.detectors.base.parameters import parameters
from insphere.detectors.spheres.convolutional_svdd import ConvolutionalSVDD
from insphere.errors import DataError
from insphere.training.training_set import TrainingSet

_ADVICE = (
    "y holds 0 or 1 for a normal and -1 for an anomalous image, shape (n,), or the same for each "
    "pixel, shape (n, height, width)"
)


@parameters
class LabelledFCDD(ConvolutionalSVDD):
    """Fully convolutional data description with anomalies (Liznerski et al. 2021).

    It is `ConvolutionalSVDD` that is also shown anomalies: a few of those that are looked for, or
    many images of other things (outlier exposure; Hendrycks et al. 2019). The distances of all
    places are the heat map. The mean h of the map of a normal image is made small, and an anomalous
    one has the loss −log(1 − exp(−h)). With masks, only the pixels of the mask are pushed away from
    the centre. Two things differ from the paper: each place has a centre, the mean of a first pass
    over normal images, and the network is pretrained as an autoencoder.

    `fit` takes ``y`` of shape (n,), with 0 or 1 for normal and -1 for anomalous images; or of shape
    (n, H, W) with the same for each pixel, where an anomaly without a mask has -1 everywhere.
    Threshold, calibration, centre and preprocessing use no anomaly.

    Parameters
    ----------
    balanced : bool, default=True
        Show anomalous images again and again in each epoch, so that there are as many as normal
        ones, as in the paper; otherwise a few among many hardly count.
    encoder, preprocess, recipe, epochs and others
        See `ConvolutionalSVDD`.

    Attributes
    ----------
    n_labelled_ : dict
        Number of images by label: ``"normal"`` and ``"anomalous"``.
    sphere_, history_ and others
        See `ConvolutionalSVDD`.

    References
    ----------
    Liznerski et al. 2021, "Explainable deep one-class classification", equations 2 and 3.
    """

    card = replace(
        ConvolutionalSVDD.card,
        key="fcdd-labelled",
        title="FCDD",
        summary="convolutional SVDD that is also shown anomalies, with masks or without",
        takes_anomalies=True,
    )

    _takes: ClassVar[tuple[str, ...]] = ("labels",)

    balanced: bool = True

    def _read_labels(self, y: Any) -> tuple[NDArray[np.int8] | None, NDArray[np.bool_] | None]:
        self.n_labelled_ = {"normal": 0, "anomalous": 0}
        if y is None:
            return None, None
        labels = anomaly_labels(y, (1, 3), _ADVICE).astype(np.int8)
        normal = _normal(labels)
        if not normal.any():
            raise DataError(f"All images are anomalous, so nothing is normal; {_ADVICE}.")
        self.n_labelled_ = {"normal": int(normal.sum()), "anomalous": int((~normal).sum())}
        return labels, normal

    def _fit(self, X: NDArray[Any], *, labels: NDArray[np.int8] | None = None) -> None:
        if labels is not None and labels.ndim == 3 and labels.shape[1:] != X.shape[1:3]:
            raise DataError(
                f"The labels of pixels have the shape {labels.shape[1:]} and the images "
                f"{X.shape[1:3]}; {_ADVICE}."
            )
        normal = None if labels is None else _normal(labels)
        samples = TrainingSet(X, labels, normal=normal)
        if normal is not None and self.balanced and 0 < (~normal).sum() < normal.sum():
            samples = samples.take(_balanced(normal))
        self._fit_labelled(samples)

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, meta = super()._state()
        return arrays, meta | {"n_labelled": self.n_labelled_}

    def _set_state(self, arrays: Any, meta: Any) -> None:
        super()._set_state(arrays, meta)
        self.n_labelled_ = dict(meta["n_labelled"])


def _normal(labels: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which images have no anomaly: no label below 0, of any of their pixels."""
    found: NDArray[np.bool_] = labels.reshape(len(labels), -1).min(axis=1, initial=1) >= 0
    return found


def _balanced(normal: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the places of all images, and those of anomalous ones as often as of normal ones."""
    anomalous = np.flatnonzero(~normal)
    again = np.resize(anomalous, int(normal.sum()) - len(anomalous))
    return np.concatenate([np.arange(len(normal)), again])
