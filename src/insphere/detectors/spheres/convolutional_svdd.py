"""A fully convolutional Deep SVDD, whose output is the heat map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

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
from insphere.detectors.base.score_modules import Applied
from insphere.detectors.base.trained_network import TrainedNetworkDetector
from insphere.nets.build import build_encoder
from insphere.nets.convolutional_sphere import ConvolutionalSphere
from insphere.preprocess.pipeline import Preprocessor
from insphere.training.convolutional import convolutional_head, train_places
from insphere.training.deep_svdd import SphereSpec
from insphere.training.device import resolve_device
from insphere.training.memory import keep_freed_memory
from insphere.training.recipe import parse_recipe
from insphere.training.step_memory import fitting_recipe
from insphere.training.training_set import TrainingSet


@parameters
class ConvolutionalSVDD(TrainedNetworkDetector):
    """Deep SVDD at every position of the feature map, similar to FCDD.

    The network has no dense layer: it computes a representation for each position of the image.
    Each position has its own centre. The anomaly score is the mean over positions of the
    pseudo-Huber distance √(d² + 1) − 1, and these distances are the heat map. Liznerski et al.
    (2021), "Explainable deep one-class classification", train with examples of anomalies; this
    is their objective for normal images alone, after pretraining as an autoencoder.

    Parameters
    ----------
    encoder : str, EncoderSpec, dict or None, default=None
        Encoder whose convolutional stages are used: "mnist", "cifar10", "gtsrb", a spec of kind
        lenet, or None for the default for the shape of the images.
    preprocess : str, sequence or None, default=None
        Steps by name or spec, such as ``["gcn", "zca"]``; None is the paper's contrast
        normalisation and min-max.
    recipe : {"fast", "paper"} or Recipe, default="fast"
        Schedule of pretraining and training.
    epochs, pretrain_epochs : int, optional
        Override the recipe's numbers of epochs.
    lr : float, optional
        Override the recipe's learning rate of the one-class phase.
    batch_size : int, optional
        Override the recipe's batch size of both phases.
    contamination, false_alarm_rate, calibration
        How the threshold is placed; see `OneClassDetector`.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number format of the network; "auto" uses bfloat16 if the processor has it.
    checkpoint_dir : path, optional
        Folder for checkpoints after each epoch; `DeepSVDD` uses the same pretrained autoencoder.
    allow_collapse : bool, default=False
        Allow networks that can collapse, and do not stop the training when they do.
    callbacks : sequence of Callback, default=()
        Objects that follow the training; see `insphere.training.callbacks`.
    verbose : bool, default=False
        Show progress in the terminal.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only.

    Attributes
    ----------
    history_ : list of dict
        One record for each epoch; see `DeepSVDD`. Radius and spread are those of positions.
    guard_findings_ : list of str
        Messages of the collapse guard.
    spec_ : SphereSpec
        All settings, with the defaults filled in.
    sphere_ : ConvolutionalSphere
        The torch module that maps raw images to distances.
    """

    card = MethodCard(
        key="fcdd",
        title="Convolutional SVDD (FCDD-like)",
        family="sphere",
        summary="Deep SVDD at every position of the image",
        takes=("images",),
    )

    pretrain_epochs: int | None = None
    allow_collapse: bool = False

    # ------------------------------------------------------------------ public

    def anomaly_map(self, X: Any) -> NDArray[Any]:
        """Return heat maps: the distances of all positions, at the resolution of the images.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (N, H, W)
            0 or more; higher is more anomalous.
        """
        data = self._read_images(X)
        return batched(data, self.sphere_.heat, self.sphere_, self.precision)

    def _module(self) -> nn.Module:
        return self.sphere_

    def _map_module(self) -> nn.Module:
        return Applied(self.sphere_, self.sphere_.heat)

    # ------------------------------------------------------------------ OneClassDetector

    def _fit(self, X: NDArray[Any]) -> None:
        self._fit_labelled(TrainingSet(X))

    def _fit_labelled(self, train: TrainingSet) -> None:
        self._require_images("use DeepSVDD for it.")
        keep_freed_memory()
        spec = self._resolve()
        sphere, history, guard = train_places(train, spec, **how_to_train(self))
        self.spec_, self.sphere_, self.history_ = spec, sphere, history
        self.guard_findings_ = guard.summary()

    def _anomaly_score(self, X: NDArray[Any]) -> NDArray[Any]:
        return batched(X, self.sphere_, self.sphere_, self.precision)

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        meta = {
            "spec": self.spec_.model_dump(mode="json"),
            "history": self.history_,
            "guard_findings": self.guard_findings_,
        }
        return arrays_of(self.sphere_), meta

    def _set_state(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        device = resolve_device(self.device)
        with matching_weights():
            spec = SphereSpec.model_validate(meta["spec"])
            shape = self.modality_.sample_shape
            encoder = build_encoder(spec.encoder, shape, allow_collapse=True)
            head = convolutional_head(encoder, spec.encoder, spec.allow_collapse)
            center = torch.empty(tuple(arrays["center"].shape))
            sphere = ConvolutionalSphere(Preprocessor(spec.preprocess, shape), head, center)
            load_arrays(sphere, arrays, device)
        self.spec_, self.sphere_ = spec, sphere
        self.history_ = list(meta["history"])
        self.guard_findings_ = list(meta["guard_findings"])

    # ------------------------------------------------------------------ inside

    def _resolve(self) -> SphereSpec:
        """Return the constructor's arguments as one spec."""
        pretrain = {"epochs": self.pretrain_epochs, "batch_size": self.batch_size}
        train = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        steps = preprocess_steps(self.preprocess, self.modality_)
        with settings():
            encoder = encoder_spec(self.encoder, self.modality_)
            recipe = parse_recipe(self.recipe).override(pretrain=pretrain, train=train)
            if self.batch_size is None:
                shape = self.modality_.sample_shape
                recipe = fitting_recipe(self.recipe, recipe, encoder, shape, self.n_train_)
            return SphereSpec(
                encoder=encoder,
                preprocess=steps,
                recipe=recipe,
                allow_collapse=self.allow_collapse,
            )
