"""Losses of training sets in which some samples are labelled: Deep SAD and HSC."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

SMALLEST_DISTANCE = 1e-6  # ε, so that the inverse of a distance is finite (Deep SAD's own value)


class LabelledAnomalies(BaseModel):
    """How labelled samples count beside unlabelled ones, which are taken to be mostly normal.

    Labels are 0 (unlabelled), 1 (normal) and -1 (anomalous).

    Parameters
    ----------
    loss : {"inverse", "cross-entropy"}
        Loss of a labelled anomaly at squared distance d. "inverse" is 1/(d + ε), and d for all
        others (Deep SAD: Ruff et al. 2020, "Deep semi-supervised anomaly detection").
        "cross-entropy" is −log(1 − exp(−h)) with h = √(d + 1) − 1, and h for all others (HSC, the
        hypersphere classifier: Liznerski et al. 2021, "Explainable deep one-class
        classification").
    eta : float
        η: how much a labelled sample counts, in units of an unlabelled one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: Literal["inverse", "cross-entropy"] = "inverse"
    eta: float = Field(default=1.0, gt=0)

    def losses(self, distances: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each sample.

        Parameters
        ----------
        distances : Tensor, shape (B,)
            Squared distances to the centre.
        labels : Tensor, shape (B,)
            0, 1 or -1.
        """
        anomalous = labels < 0
        if self.loss == "inverse":
            near, far = distances, 1 / (distances + SMALLEST_DISTANCE)
        else:
            near = (distances + 1).sqrt() - 1
            far = -torch.log(-torch.expm1(-near.clamp_min(SMALLEST_DISTANCE)))
        losses = torch.where(anomalous, far, near)
        return torch.where(labels == 0, losses, self.eta * losses)
