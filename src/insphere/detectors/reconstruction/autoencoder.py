"""The autoencoder of the pretraining of Deep SVDD, as a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
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
from insphere.detectors.base.weights import WeightedDetector
from insphere.errors import SpecError
from insphere.nets.autoencoder import Autoencoder
from insphere.nets.build import build_decoder, build_encoder
from insphere.nets.collapse_check import collapse_paths
from insphere.nets.draws import initial_weights
from insphere.preprocess.pipeline import Preprocessor
from insphere.training.device import resolve_device
from insphere.training.memory import keep_freed_memory
from insphere.training.pretraining.autoencoder import (
    AutoencoderPretraining,
    Reconstruction,
    bounded_output,
)
from insphere.training.pretraining.pretraining import pretrain
from insphere.training.recipe import parse_recipe
from insphere.training.start import StageSpec
from insphere.training.step_memory import fitting_recipe
from insphere.training.training_set import TrainingSet


@parameters
class DeepCAE(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    WeightedDetector,
    TrainedNetworkDetector,
):
    """Deep convolutional autoencoder; the score is the reconstruction error.

    It is the network that `DeepSVDD` pretrains, together with its decoder, as in the comparison
    of Ruff et al. (2018, section 4.1). The anomaly score is the squared error between the
    preprocessed sample and its reconstruction, summed over all values. With the same data,
    settings and `checkpoint_dir`, it shares one training with `DeepSVDD`.

    Parameters
    ----------
    encoder : str, EncoderSpec, dict or None, default=None
        "mnist", "cifar10", "gtsrb", a spec, or None for the default for the shape of the samples.
        The decoder is its mirror image. Bias terms cannot cause a collapse here.
    preprocess : str, sequence or None, default=None
        Steps by name or spec, such as ``["gcn", "zca"]``; None is the paper's contrast
        normalisation and min-max for images, and standardised columns for tables.
    recipe : {"fast", "paper"} or Recipe, default="fast"
        Its pretraining phase is the schedule.
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
    history_ : list of dict
        One record for each epoch: phase, epoch, loss, lr, seconds, images_per_second.
    spec_ : StageSpec
        All settings, with the defaults filled in.
    autoencoder_ : Autoencoder
        The torch module that maps images, or rows on `column_scale_`, to their squared errors.
    offset_, threshold_, score_mean_, score_std_
        See `OneClassDetector`.

    Examples
    --------
    >>> import numpy as np
    >>> from insphere.detectors import DeepCAE
    >>> normal = np.random.default_rng(0).normal(size=(200, 8))
    >>> detector = DeepCAE(random_state=0).fit(normal)
    >>> detector.predict(np.vstack([normal[:3], 8 + normal[:2]]))
    array([ 1,  1,  1, -1, -1])
    """

    card = MethodCard(
        key="dcae",
        title="DCAE",
        family="reconstruction",
        summary="reconstruction error of an autoencoder",
    )

    # ------------------------------------------------------------------ public

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the representations: the output of the encoder.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images or rows of the same shape as the training samples.

        Returns
        -------
        ndarray, shape (n, rep_dim)
            float32 for images, float64 for tables.
        """
        check_is_fitted(self)
        network = self.autoencoder_

        def represent(x: torch.Tensor) -> torch.Tensor:
            z: torch.Tensor = network.encoder(network.preprocessor(x))
            return z.to(self._weight.dtype)

        return batched(self._read(X), represent, self.autoencoder_, self.precision)

    def reconstruct(self, X: Any) -> NDArray[Any]:
        """Return the reconstruction of each sample, for display beside it.

        The preprocessing is undone; steps that normalise each image by its own statistics, such
        as contrast normalisation, are undone with those of the image given.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images or rows of the same shape as the training samples.

        Returns
        -------
        ndarray
            Images float32, shape (n, H, W, C), between 0 and 1 if trained on uint8 images; rows
            float64, shape (n, d), in their own units.
        """
        check_is_fitted(self)
        data = self._read(X)
        restored = batched(data, self.autoencoder_.reconstruct, self.autoencoder_, self.precision)
        if self.column_scale_ is not None:
            return self.column_scale_.back(restored)
        restored = self.modality_.unbatch(restored)
        return restored.clip(0, 1) if self.image_dtype_ == "uint8" else restored

    def anomaly_map(self, X: Any) -> NDArray[Any]:
        """Return heat maps: the squared reconstruction error of each pixel.

        The sum over an image is its score.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            0 or more; higher is more anomalous.
        """
        data = self._read_images(X)
        return batched(data, self.autoencoder_.error_map, self.autoencoder_, self.precision)

    def _module(self) -> nn.Module:
        return self.autoencoder_

    def _map_module(self) -> nn.Module:
        return Applied(self.autoencoder_, self.autoencoder_.error_map)

    # ------------------------------------------------------------------ OneClassDetector

    def _fit(self, X: NDArray[Any], *, weights: NDArray[np.float64] | None = None) -> None:
        keep_freed_memory()
        spec = self._resolve()
        trained = pretrain(
            TrainingSet(X, weights=weights),
            spec,
            AutoencoderPretraining(),
            **how_to_train(self),
        )
        assert isinstance(trained.objective, Reconstruction)  # there is at least one epoch
        decoder = trained.objective.decoder
        network = Autoencoder(trained.preprocessor, trained.encoder, decoder).eval()
        self._adopt(spec, network, trained.history)

    def _anomaly_score(self, X: NDArray[Any]) -> NDArray[Any]:
        return batched(X, self.autoencoder_, self.autoencoder_, self.precision)

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        meta = {
            "spec": self.spec_.model_dump(mode="json"),
            "history": self.history_,
        }
        return arrays_of(self.autoencoder_), meta

    def _set_state(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        device = resolve_device(self.device)
        with matching_weights():
            spec = StageSpec.model_validate(meta["spec"])
            shape = self.modality_.sample_shape
            encoder = build_encoder(spec.encoder, shape, allow_collapse=True)
            decoder = build_decoder(spec.encoder, shape, bounded_output=bounded_output(spec))
            network = Autoencoder(Preprocessor(spec.preprocess, shape), encoder, decoder)
            load_arrays(network, arrays, device)
        self._adopt(spec, network, list(meta["history"]))

    # ------------------------------------------------------------------ inside

    def _adopt(self, spec: StageSpec, network: Autoencoder, history: list[Any]) -> None:
        self.spec_ = spec
        self.autoencoder_ = network
        self.history_ = history
        self._n_features_out = spec.encoder.rep_dim

    @property
    def _weight(self) -> torch.Tensor:
        return next(self.autoencoder_.parameters())

    def _resolve(self) -> StageSpec:
        """Return the constructor's arguments as one spec."""
        given = {"epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size}
        steps = preprocess_steps(self.preprocess, self.modality_)
        with settings():
            encoder = encoder_spec(self.encoder, self.modality_)
            recipe = parse_recipe(self.recipe).override(pretrain=given, train={})
            shape = self.modality_.sample_shape
            if self.batch_size is None:
                recipe = fitting_recipe(self.recipe, recipe, encoder, shape, self.n_train_)
            phase = recipe.pretrain
            if phase.epochs == 0:
                raise SpecError("An autoencoder needs at least one epoch of training, not 0.")
            # A part of the checkpoint's name: whether Deep SVDD refuses the encoder by default.
            with initial_weights(0):
                unsafe = bool(collapse_paths(build_encoder(encoder, shape, allow_collapse=True)))
            return StageSpec(encoder=encoder, preprocess=steps, phase=phase, allow_collapse=unsafe)
