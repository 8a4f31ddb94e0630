"""A fitted detector as one torch module from raw samples to everything that it says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from insphere.data.column_scale import RESOLUTION
from insphere.data.value_range import ValueRange
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import ModelError
from insphere.export.decisions import NETWORK_ROUNDING, CrossScores, Decisions
from insphere.export.shared_steps import split_shared
from insphere.preprocess.columns import ScaledColumns
from insphere.scoring.severity import ROUNDING

EXACT = 1e-12  # of the counts of a cross-conformal calibration


class RawImages(nn.Module):
    """Raw images N×H×W×C to N×C×H×W on the scale of the training images.

    Parameters
    ----------
    values : ValueRange or None
        The range that is mapped to 0…1, if any is.
    """

    def __init__(self, values: ValueRange | None) -> None:
        super().__init__()
        self.ends = (values.low, values.high) if values is not None and values.rescales else None

    def forward(self, images: Tensor) -> Tensor:
        """Scale a batch."""
        if self.ends is not None:
            low, high = self.ends
            images = ((images.double() - low) / (high - low)).clamp(0, 1).float()
        return images.permute(0, 3, 1, 2)


class ExportedModel(nn.Module):
    """Everything that a detector says of raw samples.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted; networks on the CPU and in float32.
    maps : bool
        Whether heat maps are computed too, if there are any.

    Raises
    ------
    ModelError
        If the detector cannot be exported; the message says why.
    """

    def __init__(self, detector: OneClassDetector, *, maps: bool = True) -> None:
        super().__init__()
        check_exportable(detector)
        images = detector.image_shape_ is not None
        self.raw: nn.Module = RawImages(detector.value_range_) if images else nn.Identity()
        self.score = _scores(detector)
        self.maps = detector.map_module() if maps else None
        self.shared: nn.Module = nn.Identity()
        if self.maps is not None:
            self.shared, self.score, self.maps = split_shared(self.score, self.maps)
        scale = detector.severity_scale if detector.n_calibration_ else None
        share = NETWORK_ROUNDING if has_network(detector) else ROUNDING
        spread = float(np.ptp(detector.calibration_scores_)) if scale else detector.score_std_
        rounding = EXACT if detector.parts_ else share * spread
        mean, std = detector.score_mean_, detector.score_std_
        self.decisions = Decisions(mean, std, scale, rounding)
        self.rounding = rounding
        self.seen: int | None = None
        if images:
            height, width, _ = detector.image_shape_ or (0, 0, 0)
            networks: list[Any] = [m for m in self.modules() if hasattr(m, "export_for")]
            for network in networks:
                network.export_for((height, width), whole=raw_type(detector) == "uint8")
                self.seen = max(self.seen or 0, network.seen)
        self.requires_grad_(False).eval()

    @property
    def outputs(self) -> list[str]:
        """The names of what `forward` returns, in order."""
        calibrated = ["p_value", "severity"] if self.decisions.severity is not None else []
        heat = [] if self.maps is None else ["heat_map"]
        return ["score", "verdict", *calibrated, "z_score", *heat]

    def forward(self, samples: Tensor, threshold: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for raw images (N, H, W, C) or rows (N, d)."""
        x = self.shared(self.raw(samples))
        score = self.score(x).double()
        found = {"score": score} | self.decisions(score, threshold)
        if self.maps is not None:
            found["heat_map"] = self.maps(x)
        return tuple(found[name] for name in self.outputs)


def check_exportable(detector: OneClassDetector) -> None:
    """Raise ModelError if a detector cannot be exported, saying why."""
    own: Any = detector
    for one in (detector, *getattr(own, "members_", ())):
        if one.not_exported:
            raise ModelError(f"{type(one).__name__} cannot be exported: {one.not_exported}.")
    if detector.modality_.key not in ("images", "tables"):
        raise ModelError(
            f"{type(detector).__name__} cannot be exported: it scores {detector.modality_.plural}, "
            "which a graph of numbers cannot read."
        )


def has_network(detector: OneClassDetector) -> bool:
    """Return whether scores come from a network, its own or that of its features or a member."""
    own: Any = detector
    members = getattr(own, "members_", ())
    return bool(own.has_gradients or own.uses_pretrained or any(map(has_network, members)))


def raw_type(detector: OneClassDetector) -> str:
    """Return the number format of raw samples: that of the training images as they came."""
    if detector.image_shape_ is None:
        return "float64"
    values = detector.value_range_
    return str(detector.image_dtype_) if values is None else values.dtype


def example(detector: OneClassDetector, n: int) -> Tensor:
    """Return `n` samples of zeros and ones of the form that the exported model takes."""
    shape = detector.image_shape_ or detector.modality_.sample_shape
    values = np.arange(n * int(np.prod(shape))).reshape(n, *shape) % 2
    return torch.from_numpy(values.astype(raw_type(detector)))


def _scores(detector: OneClassDetector) -> nn.Module:
    """Return the module from samples on the scale of the training ones to scores."""
    if not detector.parts_:
        return detector.scoring_module()
    share = NETWORK_ROUNDING if has_network(detector) else ROUNDING
    scales = [part.severity_scale for part in detector.parts_]
    roundings = [share * float(np.ptp(scale.calibration_scores)) for scale in scales]
    modules = [part.scoring_module() for part in detector.parts_]
    cross = CrossScores(modules, scales, roundings)
    if detector.column_scale_ is None:
        return cross
    return nn.Sequential(ScaledColumns(detector.column_scale_.saved(), RESOLUTION), cross)
