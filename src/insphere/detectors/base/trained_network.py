"""The bases of detectors that train a network of their own: the parameters that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from insphere.detectors.base.network_detector import NetworkDetector
from insphere.detectors.base.network_state import encoder_spec
from insphere.detectors.base.parameters import parameters
from insphere.modalities.modality import Modality
from insphere.nets.spec import EncoderSpec
from insphere.training.callbacks import Callback
from insphere.training.device import Precision
from insphere.training.recipe import Recipe


@parameters
class TrainingDetector(NetworkDetector):
    """A detector that trains a network.

    Parameters
    ----------
    preprocess, epochs, lr, batch_size, device, precision, checkpoint_dir, callbacks, verbose
        See the concrete detectors.
    """

    preprocess: str | Sequence[Any] | None = None
    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    device: str = "auto"
    precision: Precision = "auto"
    checkpoint_dir: str | PathLike[str] | None = None
    callbacks: Sequence[Callback] = ()
    verbose: bool = False


@parameters
class TrainedNetworkDetector(TrainingDetector):
    """A detector that trains an encoder by a recipe.

    Parameters
    ----------
    encoder, recipe
        See the concrete detectors.
    preprocess, epochs, lr, batch_size, device, precision, checkpoint_dir, callbacks, verbose
        See `TrainingDetector`.
    """

    _fixed_unit = True

    encoder: str | EncoderSpec | Mapping[str, Any] | None = None
    recipe: str | Recipe | Mapping[str, Any] = "fast"

    def encoder_for(self, modality: Modality) -> EncoderSpec:
        """Return the settings of the network for samples of a kind and shape."""
        return encoder_spec(self.encoder, modality)
