"""From scores to verdicts, p-values, severities and z-scores, as torch modules for export.

They compute what `insphere.scoring` computes, in float64, with one difference. A score that equals
a calibration score except for rounding is taken for equal to it, as severities and cross-conformal
scores take it everywhere. Otherwise the calibration image on which the threshold lies could change
its verdict, because another runtime adds in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.detectors.base.score_modules import LN10, Severity
from insphere.scoring.severity import ROUNDING, SeverityScale

NETWORK_ROUNDING = 10 * ROUNDING
"""The same share for scores of networks in float32."""
LEAST_CHANCE = 1e-300


class Decisions(nn.Module):
    """What a calibrated detector says of a score.

    Parameters
    ----------
    mean, std : float
        Scale of z-scores.
    scale : SeverityScale or None
        From the calibration scores; None without any.
    rounding : float
        Scores that differ by less are taken for equal.
    """

    reference: Tensor

    def __init__(
        self, mean: float, std: float, scale: SeverityScale | None, rounding: float
    ) -> None:
        super().__init__()
        self.mean, self.std, self.rounding = mean, std, rounding
        self.severity = None if scale is None else Severity(scale)
        reference = np.empty(0) if scale is None else scale.calibration_scores
        self.register_buffer("reference", torch.tensor(reference))

    def forward(self, score: Tensor, threshold: Tensor) -> dict[str, Tensor]:
        """Return verdict (True is anomalous), z-score and, if calibrated, p-value and severity."""
        found = {"verdict": score > threshold + self.rounding}
        if self.severity is not None:
            n = len(self.reference)
            below = (self.reference + self.rounding < score[:, None]).sum(dim=1)
            found["p_value"] = (1 + n - below).double() / (n + 1)
            found["severity"] = self.severity(score)
        found["z_score"] = (score - self.mean) / self.std
        return found


class CrossScores(nn.Module):
    """The scores of a cross-conformal calibration; see `insphere.scoring.conformal.cross_scores`.

    Parameters
    ----------
    parts : sequence of torch.nn.Module
        From samples to the score of the detector of each part.
    scales : sequence of SeverityScale
        From the scores that each detector gave to its part.
    roundings : sequence of float
        By how much scores of each part may differ and count as equal.
    """

    def __init__(
        self,
        parts: Sequence[nn.Module],
        scales: Sequence[SeverityScale],
        roundings: Sequence[float],
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.severities = nn.ModuleList(Severity(scale) for scale in scales)
        self.sizes = [len(scale.calibration_scores) for scale in scales]
        for place, (scale, rounding) in enumerate(zip(scales, roundings, strict=True)):
            raised: NDArray[Any] = scale.calibration_scores + rounding
            self.register_buffer(f"reference{place}", torch.tensor(raised))

    def forward(self, x: Tensor) -> Tensor:
        """Score samples."""
        n = sum(self.sizes)
        beyond, chance = x.new_zeros((), dtype=torch.double), x.new_zeros((), dtype=torch.double)
        for place, (part, severity) in enumerate(zip(self.parts, self.severities, strict=True)):
            score = part(x).double()
            reference = self.get_buffer(f"reference{place}")
            beyond = beyond + (reference < score[:, None]).sum(dim=1).double()
            chance = chance + self.sizes[place] / n * torch.exp(-LN10 * severity(score))
        total = -torch.log(chance.clamp_min(LEAST_CHANCE)) / LN10
        fraction = (total + 1) / (total + 2)
        excess = (total - math.log10(n + 1)).clamp_min(0) + 1e-3 * fraction
        joined: Tensor = beyond + torch.where(beyond == n, excess, fraction)
        return joined
