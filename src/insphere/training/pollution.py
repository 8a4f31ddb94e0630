"""Training on normals of which some are anomalous: latent outlier exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from insphere.training.labelled_anomalies import LabelledAnomalies

Form = Literal["refine", "soft", "hard"]
_SHARES: dict[Form, tuple[float, float]] = {
    "refine": (0.0, 0.0),
    "soft": (0.5, 0.5),
    "hard": (0.0, 1.0),
}
"""How much the losses of a normal sample and of an anomaly count in each form."""


class Pollution(BaseModel):
    """Latent outlier exposure (Qiu et al. 2022, "Latent outlier exposure for anomaly detection").

    In each step the share α of the samples with the largest distances is taken to be anomalous.

    Parameters
    ----------
    share : float
        α: the assumed share of anomalies in the training set.
    form : {"refine", "soft", "hard"}
        What the samples that are taken to be anomalous contribute. "refine": nothing. "soft": half
        of the loss of a normal sample and half of that of an anomaly. "hard": the loss of an
        anomaly. With the squared distance d as the loss of a normal sample, 1/(d + ε) is that of
        an anomaly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(gt=0, lt=0.5)
    form: Form = "refine"

    def losses(self, distances: Tensor) -> Tensor:
        """Return the loss of each sample.

        Parameters
        ----------
        distances : Tensor, shape (B,)
            Squared distances to the centre. The loss of an anomaly falls with the distance, so the
            order of the distances is also that of the difference of both losses, by which the
            paper ranks.
        """
        count = round(self.share * len(distances))
        if count == 0:
            return distances
        taken = torch.zeros(len(distances), dtype=torch.bool, device=distances.device)
        taken[distances.detach().topk(count).indices] = True
        far = LabelledAnomalies().losses(distances, -torch.ones_like(distances))
        as_normal, as_anomaly = _SHARES[self.form]
        return torch.where(taken, as_normal * distances + as_anomaly * far, distances)


def parse_pollution(given: Any) -> Pollution | None:
    """Return pollution given as a share, as settings, as itself or as None.

    Parameters
    ----------
    given : float, mapping, Pollution or None
        A share alone means the form "refine".

    Raises
    ------
    pydantic.ValidationError
        If a setting is unknown or out of range.
    """
    if given is None or isinstance(given, Pollution):
        return given
    settings = dict(given) if isinstance(given, Mapping) else {"share": given}
    return Pollution.model_validate(settings)
