"""What detectors on features of a pretrained network share: opening it, extracting, loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base import Array, OneClassDetector
from insphere.errors import DataError, ModelError
from insphere.features import Extractor, Form, features
from insphere.features.extract import Resampling
from insphere.nets.backbones import BackboneCard, load_backbone
from insphere.training.callbacks import Callback
from insphere.training.device import Precision, resolve_device

CHUNK = 512  # images whose features are in memory at once while scoring


class BackboneDetector(OneClassDetector):
    """Images through a frozen pretrained network; see the concrete detectors.

    Attributes
    ----------
    backbone_ : BackboneCard
        What the network is; says "random" if it was not trained.
    backbone_fingerprint_ : str
        SHA-256 over its weights.
    """

    _not_saved: ClassVar[tuple[str, ...]] = (*OneClassDetector._not_saved, "cache", "verbose")

    backbone: str
    weights: str | PathLike[str] | None
    resolution: int | None
    resampling: Resampling
    mirrored: bool
    device: str
    precision: Precision
    cache: bool
    callbacks: Sequence[Callback]

    backbone_: BackboneCard
    backbone_fingerprint_: str
    _extractor: Extractor

    def _open(self) -> None:
        """Load the network and note what it is."""
        network = load_backbone(self.backbone, self.weights)
        self._extractor = Extractor(
            network,
            resolution=self.resolution,
            resampling=self.resampling,
            mirrored=self.mirrored,
            precision=self.precision,
            device=resolve_device(self.device),
        )
        self.backbone_ = network.card
        self.backbone_fingerprint_ = network.fingerprint

    def _extract(self, X: Array, form: Form, *, fitting: bool = False) -> NDArray[np.float16]:
        """Return the features of all images in X."""
        followers = list(self.callbacks) if fitting else []
        for follower in followers:
            follower.phase_start("features", 1, 0, len(X))

        def told(images: int) -> None:
            for follower in followers:
                follower.batch_end("features", images)

        try:
            return features(self._extractor, X, [form], cache=self.cache, progress=told)[0]
        finally:
            for follower in followers:
                follower.phase_end("features")

    def _require_images(self) -> None:
        if self.image_shape_ is None:
            raise DataError(
                f"{type(self).__name__} takes images, but got a table; use another detector, such "
                "as DeepSVDD, for tables."
            )

    def _findings(self) -> list[str]:
        """Say in a sentence if the network was not trained."""
        if self.backbone_.pretrained:
            return []
        return [
            f"The backbone {self.backbone_.name} has {self.backbone_.weights} weights: a control, "
            "not a result."
        ]

    def _backbone_meta(self) -> dict[str, Any]:
        return {
            "backbone": self.backbone_.name,
            "weights": self.backbone_.weights,
            "fingerprint": self.backbone_fingerprint_,
        }

    def _restore_backbone(self, meta: Mapping[str, Any]) -> None:
        """Open the network again, and refuse other weights than those of training.

        Raises
        ------
        ModelError
            If they differ.
        """
        self._open()
        if self.backbone_fingerprint_ != meta["fingerprint"]:
            raise ModelError(
                f"The model was made with other weights of {self.backbone_.name} than those found "
                f"here ({meta['weights']}; fingerprint {str(meta['fingerprint'])[:12]}, here "
                f"{self.backbone_fingerprint_[:12]}); its scores would mean nothing. Get the same "
                "weights."
            )
