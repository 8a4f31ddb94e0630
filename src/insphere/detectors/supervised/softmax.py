"""Softmax threshold: the confidence of a classifier trained with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Tags
from torch import nn

from insphere.detectors.base.class_labels import class_codes
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.base.how_to_train import how_to_train
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import (
    arrays_of,
    batched,
    encoder_spec,
    load_arrays,
    matching_weights,
    preprocess_steps,
    settings,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.trained_network import TrainedNetworkDetector
from insphere.detectors.base.weights import WeightedDetector
from insphere.errors import DataError, SpecError
from insphere.modalities.modality import Modality
from insphere.nets.build import build_encoder
from insphere.nets.classifier import Classifier, Uncertainty
from insphere.preprocess.pipeline import Preprocessor
from insphere.scoring.conformal import Calibration
from insphere.training.classifier import ClassifierSpec, train_classifier
from insphere.training.device import resolve_device
from insphere.training.memory import keep_freed_memory
from insphere.training.recipe import parse_recipe
from insphere.training.step_memory import fitting_recipe
from insphere.training.training_set import TrainingSet

_ADVICE = (
    "SoftmaxThreshold is supervised and needs the class of each training image as y, of at least "
    "two classes; with normal images alone, use a one-class detector such as DeepSVDD"
)


@parameters
class SoftmaxThreshold(WeightedDetector, TrainedNetworkDetector):
    """Supervised: the lack of confidence of a classifier (Hendrycks and Gimpel, 2017).

    **Unlike all other detectors, this one needs the class of each training image, of at least two
    classes.** So its results cannot be compared with those of one-class methods. They show what
    labels are worth if they exist.

    A classifier is trained on the known classes. The anomaly score is 1 − max softmax probability.
    The maximum is taken over the classes that count as normal. By default these are all known
    classes: an image that belongs to none of them is anomalous. With `normal`, images of the other
    known classes are anomalous as well.

    Parameters
    ----------
    normal : sequence or None, default=None
        Classes in `y` that count as normal; None for all. The threshold is placed on their images
        alone.
    encoder : str, EncoderSpec, dict or None, default=None
        Network before the last layer: "mnist", "cifar10", "gtsrb", a spec, or None for the
        default for the shape of the samples.
    preprocess : str, sequence or None, default=None
        Steps by name or spec, such as ``["gcn", "zca"]``; None is the paper's contrast
        normalisation and min-max for images, and standardised columns for tables.
    recipe : {"fast", "paper"} or Recipe, default="fast"
        Its training phase is the schedule.
    epochs : int, optional
        Override the recipe's number of epochs.
    lr : float, optional
        Override the recipe's learning rate.
    batch_size : int, optional
        Override the recipe's batch size.
    contamination, false_alarm_rate, calibration
        How the threshold is placed; see `OneClassDetector`.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number format of the network; "auto" uses bfloat16 if the processor has it and the
        network is wide enough to be faster with it.
    checkpoint_dir : path, optional
        Folder for a checkpoint after each epoch. Fitting again continues from it.
    callbacks : sequence of Callback, default=()
        Objects that follow the training; see `insphere.training.callbacks`.
    verbose : bool, default=False
        Show progress in the terminal.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only.

    Attributes
    ----------
    classes_ : list
        The known classes.
    history_ : list of dict
        One record for each epoch: phase, epoch, loss, accuracy, lr, seconds, images_per_second.
    spec_ : ClassifierSpec
        All settings, with the defaults filled in.
    classifier_ : Classifier
        The torch module that maps raw samples to logits.
    n_train_ : int
        Number of training images, of all classes.
    offset_, threshold_, score_mean_, score_std_
        See `OneClassDetector`.
    """

    card = MethodCard(
        key="softmax",
        title="Softmax threshold (supervised)",
        family="supervised",
        summary="lack of confidence of a classifier that was trained with labels",
        needs_labels=True,
    )
    _takes: ClassVar[tuple[str, ...]] = ("labels", "weights")

    normal: Sequence[Any] | None = None

    def __sklearn_tags__(self) -> Tags:
        """Declare to scikit-learn that labels are required."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    # ------------------------------------------------------------------ public

    def fit(  # type: ignore[override]  # see WeightedDetector
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        strata: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Train on the known classes, and place the threshold on the images of the normal ones.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of all known classes, or a numeric table.
        y : array, shape (n,)
            Class of each: whole numbers or strings.
        groups, strata, sample_weight
            As in `OneClassDetector.fit` and `WeightedDetector.fit`.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If there are no labels, or only those of one class.
        SpecError
            If a setting is out of range, or names an unknown class.
        """
        return super().fit(X, y, groups=groups, strata=strata, sample_weight=sample_weight)

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Return +1 for each normal and -1 for each anomalous image, after fitting to them."""
        return self.fit(X, y).predict(X)

    def _module(self) -> nn.Module:
        return Uncertainty(self.classifier_, self._normal.tolist())

    # ------------------------------------------------------------------ OneClassDetector

    def _read_labels(self, y: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if y is None:
            raise DataError(f"{_ADVICE} (requires y to be passed, but the target y is None).")
        classes, codes = class_codes(y)
        if len(classes) < 2:
            raise DataError(f"{_ADVICE}; y has only one class.")
        self.classes_, self._normal = classes, self._normal_codes(classes)
        return codes, np.isin(codes, self._normal)

    def _trained_parts(
        self, train: TrainingSet, how: Calibration, modality: Modality
    ) -> tuple[list[OneClassDetector], list[NDArray[np.bool_]]]:
        raise SpecError(
            "SoftmaxThreshold is calibrated on held-out images only; give calibration as a share, "
            "such as 0.2."
        )

    def _fit(
        self,
        X: NDArray[Any],
        *,
        labels: NDArray[np.int64] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        keep_freed_memory()
        spec = self._resolve()
        assert labels is not None  # `_read_labels` returned them
        normals_first = np.argsort(~np.isin(labels, self._normal), kind="stable")
        network, history = train_classifier(
            TrainingSet(X, labels=labels, weights=weights).take(normals_first),
            spec,
            **how_to_train(self),
        )
        self.spec_, self.classifier_, self.history_ = spec, network, history

    def _anomaly_score(self, X: NDArray[Any]) -> NDArray[Any]:
        logits = batched(X, self.classifier_, self.classifier_, self.precision)
        return _one_minus_largest(logits.astype(np.float64), self._normal)

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        meta = {
            "spec": self.spec_.model_dump(mode="json"),
            "history": self.history_,
            "classes": self.classes_,
            "normal": self._normal.tolist(),
        }
        return arrays_of(self.classifier_), meta

    def _set_state(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        device = resolve_device(self.device)
        with matching_weights():
            spec = ClassifierSpec.model_validate(meta["spec"])
            shape = self.modality_.sample_shape
            encoder = build_encoder(spec.encoder, shape, allow_collapse=True)
            preprocessor = Preprocessor(spec.preprocess, shape)
            classes = list(meta["classes"])
            network = Classifier(preprocessor, encoder, spec.encoder.rep_dim, len(classes))
            load_arrays(network, arrays, device)
        self.spec_, self.classifier_, self.history_ = spec, network, list(meta["history"])
        self.classes_, self._normal = classes, np.array(meta["normal"], dtype=np.int64)

    # ------------------------------------------------------------------ inside

    def _normal_codes(self, classes: list[Any]) -> NDArray[np.int64]:
        if self.normal is None:
            return np.arange(len(classes))
        unknown = [name for name in self.normal if name not in classes]
        if unknown or not len(self.normal):
            raise SpecError(
                f"normal names the classes in y that count as normal, but got {self.normal!r}; "
                f"y has {', '.join(map(repr, classes[:5]))}{', …' if len(classes) > 5 else ''}."
            )
        return np.array(sorted({classes.index(name) for name in self.normal}), dtype=np.int64)

    def _resolve(self) -> ClassifierSpec:
        """Return the constructor's arguments as one spec."""
        given = {"epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size}
        steps = preprocess_steps(self.preprocess, self.modality_)
        with settings():
            encoder = encoder_spec(self.encoder, self.modality_)
            recipe = parse_recipe(self.recipe).override(pretrain={}, train=given)
            if self.batch_size is None:
                recipe = fitting_recipe(
                    self.recipe, recipe, encoder, self.modality_.sample_shape, self.n_train_,
                    decoder=False,
                )  # fmt: skip
            phase = recipe.train
            if phase.epochs == 0:
                raise SpecError("A classifier needs at least one epoch of training, not 0.")
            return ClassifierSpec(encoder=encoder, preprocess=steps, phase=phase)


def _one_minus_largest(
    logits: NDArray[np.float64], normal: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return 1 − the largest softmax probability among the normal classes, in full precision.

    It is the sum of the other probabilities. So images are still ordered if the classifier is
    nearly certain about all of them.
    """
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    selected = normal[logits[:, normal].argmax(axis=1)]
    rest = shifted.copy()
    rest[np.arange(len(rest)), selected] = 0
    share: NDArray[np.float64] = rest.sum(axis=1) / shifted.sum(axis=1)
    return share
