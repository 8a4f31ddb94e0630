"""The proof that an exported model scores as the model folder does, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import ModelError
from insphere.export.exported import has_network
from insphere.modalities.tables.frame import Frame
from insphere.runtime.scorer import Scorer
from insphere.scoring.pvalues import conformal_p_values

Floats = NDArray[np.float64]

TOLERANCE = 1e-5
"""Largest relative difference of scores."""
NETWORK_TOLERANCE = 5e-5
"""The same for networks in float32. The library's own scores are up to half a part in 100,000 from
those of exact arithmetic, and those of ONNX Runtime too."""
HALF_TOLERANCE = 5e-3
"""The same for models of earlier versions that round features of a pretrained network to float16:
the last bit of a feature (5e-4 of it) can fall differently, also between two batches of the
library, and whitening multiplies it. The largest difference seen was 2.5e-3."""
PARTS_TOLERANCE = 1e-3
"""The same for cross-conformal scores: beyond the highest calibration score a tail is extrapolated,
which multiplies differences of the scores of the parts. The largest difference seen was 3e-4."""
MAP_TOLERANCE = 2e-3
NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """How far an exported model is from the model folder on the same samples.

    Parameters
    ----------
    n : int
        Number of samples.
    largest : float
        Largest relative difference of scores; see `differences`.
    tolerance : float
        What is accepted.
    changed : tuple of str
        Samples whose verdict changed.
    on_threshold : int
        Samples that lie on the threshold but for rounding, such as the calibration sample that
        it was placed on; their verdict may be either.
    p_value, severity : float or None
        Largest absolute differences.
    heat_map : float or None
        Largest difference, as a share of the largest value of the maps.
    variant : str
        Number format of the exported network.
    """

    n: int
    largest: float
    tolerance: float
    changed: tuple[str, ...]
    on_threshold: int
    p_value: float | None
    severity: float | None
    heat_map: float | None
    variant: str

    @property
    def equal(self) -> bool:
        """Whether no verdict changed and all differences are within the tolerance."""
        return not self.changed and (
            self.variant != "float32"
            or (self.largest <= self.tolerance and (self.heat_map or 0.0) <= MAP_TOLERANCE)
        )

    def sentence(self) -> str:
        """Return the result as one sentence."""
        samples = f"{self.n:,} samples" if self.n > 1 else "one sample"
        if self.changed:
            more = ", …" if len(self.changed) > NAMED else ""
            return (
                f"{len(self.changed)} of {samples} changed the verdict "
                f"({', '.join(self.changed[:NAMED])}{more}); scores differ by up to "
                f"{self.largest:.2g}."
            )
        if not self.equal:
            return (
                f"The scores of {samples} differ by up to {self.largest:.2g}, more than "
                f"{self.tolerance:g}; no verdict changed."
            )
        return f"Equal on {samples}: scores within {self.largest:.2g}, no verdict changed."

    def require(self, what: str) -> None:
        """Raise ModelError unless both are equal.

        Parameters
        ----------
        what : str
            Name of the exported model.
        """
        if not self.equal:
            raise ModelError(f"{what} does not score as the model folder does: {self.sentence()}")


def differences(found: Floats, wanted: Floats, detector: OneClassDetector) -> Floats:
    """Return relative differences of scores.

    They are shares of the score; or of the standard deviation of normal scores where that is
    larger, since a score near 0 has no digits to compare.
    """
    size = np.maximum(np.abs(wanted), detector.score_std_)
    relative: Floats = np.abs(found - wanted) / size
    return relative


def tolerance_of(detector: OneClassDetector) -> float:
    """Return the largest accepted relative difference of scores."""
    if rounds_features(detector):
        return HALF_TOLERANCE
    if not has_network(detector):
        return TOLERANCE
    return PARTS_TOLERANCE if detector.parts_ else NETWORK_TOLERANCE


def rounds_features(detector: Any) -> bool:
    """Return whether a detector, or one inside it, rounds pretrained features to float16."""
    inside = (
        getattr(detector, "features_", None),
        *getattr(detector, "members_", ()),
        *getattr(detector, "parts_", ()),
    )
    return bool(getattr(detector, "rounds_features", False)) or any(
        rounds_features(one) for one in inside if one is not None
    )


def compare(
    scorer: Scorer,
    detector: OneClassDetector,
    samples: NDArray[Any] | Frame,
    names: Sequence[str] = (),
) -> Comparison:
    """Score the same samples both ways.

    Parameters
    ----------
    scorer : Scorer
        The exported model.
    detector : OneClassDetector
        From `insphere.export.graph.load_for_export`.
    samples : ndarray, shape (n, H, W, C) or (n, d), or Frame
        Raw samples.
    names : sequence of str
        What they are called; by default their positions.
    """
    found, wanted = scorer.score(samples), detector.anomaly_score(samples)
    near = np.zeros(len(wanted), bool)
    changed: tuple[str, ...] = ()
    if found.verdicts is not None and detector.judges:
        flipped = found.verdicts != (wanted > detector.threshold_)
        slack = scorer.description.rounding
        near = np.abs(wanted - detector.threshold_) <= slack
        if detector.parts_:
            near[:] = False
        rows = np.flatnonzero(flipped & ~near).tolist()
        changed = tuple(names[i] if len(names) else str(i) for i in rows)
    p_value = severity = heat = None
    if found.p_values is not None and found.severities is not None:
        p = conformal_p_values(detector.calibration_scores_, wanted)
        p_value = float(np.abs(found.p_values - p).max())
        severity = float(np.abs(found.severities - detector.severity_scale(wanted)).max())
    if found.heat_maps is not None:
        own: Any = detector
        maps = own.anomaly_map(samples)
        heat = float(np.abs(found.heat_maps - maps).max() / max(float(np.abs(maps).max()), 1e-300))
    return Comparison(
        n=len(wanted),
        largest=float(differences(found.scores, wanted, detector).max()),
        tolerance=tolerance_of(detector),
        changed=changed,
        on_threshold=int(near.sum()),
        p_value=p_value,
        severity=severity,
        heat_map=heat,
        variant=scorer.description.variant,
    )
