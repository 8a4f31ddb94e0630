"""A network from scratch that finds synthetic anomalies, and with them real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import nn

from insphere.detectors.base.how_to_train import how_to_train
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import (
    arrays_of,
    batched,
    load_arrays,
    matching_weights,
    settings,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.score_modules import Applied
from insphere.detectors.base.trained_network import TrainingDetector
from insphere.nets.segmenter import AnomalySegmenter, LastLayer, SegmentationNet, output_stride
from insphere.preprocess.pipeline import Preprocessor, chosen_steps
from insphere.resources import rows_within
from insphere.synthetic_anomalies import KINDS
from insphere.training.device import resolve_device
from insphere.training.memory import keep_freed_memory
from insphere.training.recipe import Phase
from insphere.training.segmentation import SegmentationSpec, train_segmenter

KEPT_BYTES = 600
"""What one pixel of an image adds to the memory of a training step, in bytes."""


@parameters
class AnomalySegmentation(TrainingDetector):
    """A small U-Net, trained to find synthetic anomalies in the normal images.

    In each epoch three quarters of the images are damaged anew, in ways and at strengths drawn at
    random, and the network learns which places are damaged. Changes of brightness, contrast and
    gamma of whole images count as harmless. Zavrtanik et al. (2021), "DRAEM", train such a network
    behind an autoencoder; here it sees the image itself, and the damage is of nine kinds, so that
    it does not learn the traces of one generator. The heat map is its output. The score is the mean
    of the most damaged places.

    It needs no pretrained network, and finds local damage: scratches, stains, missing or foreign
    pieces. It does not know what the object as a whole should look like.

    Parameters
    ----------
    kinds : sequence of str, default="all"
        Kinds of synthetic anomalies; see `insphere.synthetic_anomalies.KINDS`.
    strengths : (float, float), default=(0.15, 1.0)
        Least and greatest strength, above 0 and at most 1.
    harmless : float, default=0.25
        How much brightness, contrast and gamma of whole images vary; 0 for cameras that never
        change.
    flips : bool, default=True
        Whether images are mirrored at random.
    widths : sequence of int, default=(16, 32, 64, 128)
        Channels of the stem and of the levels of the network.
    last : {"odds", "sphere"}, default="odds"
        What says how damaged a place is: "odds" is a linear layer; with "sphere" it is the distance
        from a centre, around which normal places are drawn and from which damaged ones are pushed
        away. This is a convolutional SVDD with made-up damage as negatives; see `PlaceSphere`.
    top : float, default=0.01
        Share of the places whose mean is the score.
    preprocess : str or sequence, default="gcn" with norm "l2"
        Steps by name or spec; by default each image gets mean 0 and standard deviation 1, so that
        its exposure does not matter.
    crop : int, default=128
        Longest side of the pieces that are trained on, in pixels. Whole images are scored.
    steps : int, default=2500
        Least number of steps of the training.
    epochs : int, optional
        Passes over the images; by default as many as `steps` asks for.
    lr : float, default=2e-3
        Highest learning rate of the one-cycle schedule.
    batch_size : int, optional
        By default 16, or as many as fit the memory for a step.
    contamination, false_alarm_rate, calibration
        How the threshold is placed; see `OneClassDetector`.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number format of the network; "auto" uses bfloat16 if the processor has it.
    checkpoint_dir : path, optional
        Folder for checkpoints after each epoch.
    allow_collapse : bool, default=False
        Do not stop the training if all images get the same representation.
    callbacks : sequence of Callback, default=()
        Objects that follow the training; see `insphere.training.callbacks`.
    verbose : bool, default=False
        Show progress in the terminal.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only.

    Attributes
    ----------
    history_ : list of dict
        One record for each epoch: loss, ``overlap`` (intersection over union of what is damaged and
        what was found), ``damaged`` (share of the places), and the measures of the guard.
    guard_findings_ : list of str
        Messages of the collapse guard.
    spec_ : SegmentationSpec
        All settings, with the defaults filled in.
    segmenter_ : AnomalySegmenter
        The torch module that maps raw images to scores.
    """

    card = MethodCard(
        key="segmentation",
        title="Segmentation of synthetic anomalies",
        family="self-supervised",
        summary="a network that learns to find made-up damage, and its map",
        takes=("images",),
    )

    kinds: str | Sequence[str] = "all"
    strengths: tuple[float, float] = (0.15, 1.0)
    harmless: float = 0.25
    flips: bool = True
    widths: Sequence[int] = (16, 32, 64, 128)
    last: LastLayer = "odds"
    top: float = 0.01
    crop: int = 128
    steps: int = 2500
    allow_collapse: bool = False

    # ------------------------------------------------------------------ public

    def anomaly_map(self, X: Any) -> NDArray[Any]:
        """Return heat maps: log(1 + odds) that each pixel is damaged.

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
        return batched(data, self.segmenter_.heat, self.segmenter_, self.precision)

    def _module(self) -> nn.Module:
        return self.segmenter_

    def _map_module(self) -> nn.Module:
        return Applied(self.segmenter_, self.segmenter_.heat)

    # ------------------------------------------------------------------ OneClassDetector

    def _fit(self, X: NDArray[Any]) -> None:
        self._require_images("use DeepSVDD for it.")
        keep_freed_memory()
        spec = self._resolve()
        self.segmenter_, self.history_, guard = train_segmenter(
            X,
            spec,
            **how_to_train(self),
        )
        self.spec_ = spec
        self.guard_findings_ = guard.summary()

    def _anomaly_score(self, X: NDArray[Any]) -> NDArray[Any]:
        return batched(X, self.segmenter_, self.segmenter_, self.precision)

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        meta = {
            "spec": self.spec_.model_dump(mode="json"),
            "history": self.history_,
            "guard_findings": self.guard_findings_,
        }
        return arrays_of(self.segmenter_), meta

    def _set_state(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        device = resolve_device(self.device)
        with matching_weights():
            spec = SegmentationSpec.model_validate(meta["spec"])
            shape = self.modality_.sample_shape
            stride = output_stride(*shape[1:])
            network = SegmentationNet(shape[0], spec.widths, stride, spec.last)
            segmenter = AnomalySegmenter(Preprocessor(spec.preprocess, shape), network, spec.top)
            load_arrays(segmenter, arrays, device)
        self.spec_, self.segmenter_ = spec, segmenter
        self.history_ = list(meta["history"])
        self.guard_findings_ = list(meta["guard_findings"])

    # ------------------------------------------------------------------ inside

    def _resolve(self) -> SegmentationSpec:
        """Return the constructor's arguments as one spec."""
        _, height, width = self.modality_.sample_shape
        kinds = tuple(KINDS) if self.kinds == "all" else self.kinds
        steps = [{"step": "gcn", "norm": "l2"}] if self.preprocess is None else self.preprocess
        pixels = min(height, self.crop) * min(width, self.crop)
        fitting = rows_within(KEPT_BYTES * pixels, 16)
        given = {"epochs": self.epochs, "lr": self.lr, "batch_size": self.batch_size}
        usual = {
            "epochs": 1,
            "lr": 2e-3,
            "batch_size": max(2, fitting),
            "schedule": "one-cycle",
            "weight_decay": 1e-5,
            "min_steps": self.steps if self.epochs is None else 0,
        }
        with settings():
            return SegmentationSpec(
                kinds=(kinds,) if isinstance(kinds, str) else tuple(kinds),
                strengths=self.strengths,
                harmless=self.harmless,
                flips=self.flips,
                crop=self.crop,
                widths=tuple(self.widths),
                last=self.last,
                top=self.top,
                preprocess=chosen_steps(steps, self.modality_.sample_shape),
                phase=Phase.model_validate(
                    usual | {name: value for name, value in given.items() if value is not None}
                ),
                allow_collapse=self.allow_collapse,
            )
