"""The collapse guard: it detects when a network maps all images to the same point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from insphere.errors import CollapseError
from insphere.training.moments import Moments, moments_of

SMALLEST_SPREAD = 1e-4
SMALLEST_SHARE_OF_START = 1e-3
LOW_RANK = 1.05
DEAD_SHARE = 1e-3
MEASURES = ("spread", "score_spread", "effective_rank", "dead_units")  # see `measure`


@dataclass
class CollapseGuard:
    """Compares representations and scores of every epoch with those at the start.

    Parameters
    ----------
    allow_collapse : bool
        Record a collapse, but do not stop the training.
    whitened : bool
        The representations start at mean 0 and variance 1, so that the length of their mean says
        nothing: their spread is measured in standard deviations of a dimension instead.

    Attributes
    ----------
    start : dict of float
        Measures of the first pass; see `measure`.
    findings : list of str
        Collapses that did not stop the training, in sentences.
    last : dict of float
        Measures of the latest epoch.
    """

    allow_collapse: bool = False
    whitened: bool = False
    start: dict[str, float] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """Return its state for a checkpoint; before the start in the same form, with zeros."""
        start = self.start or dict.fromkeys(MEASURES, 0.0)
        return {"start": start, "findings": self.findings, "last": self.last or start}

    def restore(self, notes: dict[str, Any]) -> None:
        """Take over what `notes` returned."""
        self.start, self.findings, self.last = notes["start"], notes["findings"], notes["last"]

    def begin(self, z: Tensor | Moments, distances: Tensor) -> None:
        """Measure the start, with which later epochs are compared; see `watch`."""
        self.start = self._measure(z, distances)

    def watch(self, z: Tensor | Moments, distances: Tensor) -> dict[str, float]:
        """Measure an epoch and stop training if the network has collapsed.

        Parameters
        ----------
        z : Tensor, shape (N, rep_dim), or Moments
            Representations of the training normals, or their mean and covariance where they are
            too many to be kept.
        distances : Tensor, shape (N,)
            Their squared distances to the centre.

        Raises
        ------
        CollapseError
            If the representations no longer depend on the image and collapse is not allowed.
        """
        if not bool(torch.isfinite(distances).all()):
            raise CollapseError(
                "The representations are no longer finite numbers; lower the learning rate or "
                "check the preprocessing."
            )
        now = self._measure(z, distances)
        self.last = now
        finding = self._finding(now)
        if finding is not None:
            if not self.allow_collapse:
                raise CollapseError(finding)
            if finding not in self.findings:
                self.findings.append(finding)
        return now

    def _measure(self, z: Tensor | Moments, distances: Tensor) -> dict[str, float]:
        moments = moments_of(z) if isinstance(z, Tensor) else z
        measured = measure(moments, distances)
        if self.whitened:
            measured["spread"] = float(moments.variance.mean().sqrt())
        return measured

    @property
    def _unit(self) -> str:
        return "standard deviations" if self.whitened else "of its length"

    def _finding(self, now: dict[str, float]) -> str | None:
        if (
            now["spread"] < SMALLEST_SPREAD
            or now["spread"] < SMALLEST_SHARE_OF_START * self.start["spread"]
        ):
            return (
                "The network has collapsed: its representations differ from their own mean by "
                f"only {now['spread']:.1g} {self._unit} ({self.start['spread']:.1g} at the "
                "start), so every image gets nearly the same score; remove bias terms and bounded "
                "activations, train for fewer epochs or lower the rate."
            )
        return None

    def summary(self) -> list[str]:
        """Return sentences on collapses, and on the change of spread and rank."""
        if not self.last:
            return ["The network was not trained, so there was nothing to watch."]
        found = list(self.findings)
        if not found:
            found.append(
                "No sign of collapse: the representations still differ from their own mean by "
                f"{self.last['spread']:.2g} {self._unit} ({self.start['spread']:.2g} at the "
                f"start) and vary in about {self.last['effective_rank']:.0f} directions "
                f"({self.start['effective_rank']:.0f} at the start)."
            )
        if self.last["effective_rank"] < LOW_RANK:
            found.append(
                "All representations lie on one line, so only one feature of the images is used; "
                "try a larger network or fewer epochs."
            )
        if self.last["dead_units"] > 0:
            found.append(f"{self.last['dead_units']:.0%} of the dimensions hardly vary any more.")
        return found


def measure(z: Tensor | Moments, distances: Tensor) -> dict[str, float]:
    """Measure how much the representations still depend on the image.

    Parameters
    ----------
    z, distances
        As in `CollapseGuard.watch`.

    Returns
    -------
    dict of float
        ``spread``: standard deviation of the representations around their mean, as a share of the
        length of that mean (scale-free: shrinking weights alone do not change it);
        ``score_spread``: standard deviation of the distances as a share of their mean;
        ``effective_rank``: exponential of the entropy of the covariance's eigenvalues (Roy &
        Vetterli 2007); ``dead_units``: share of dimensions that vary a thousand times less than
        the most varied one.
    """
    moments = moments_of(z) if isinstance(z, Tensor) else z
    variance = moments.variance
    spread = variance.sum().sqrt() / moments.mean.norm().clamp_min(1e-30)
    eigenvalues = torch.linalg.eigvalsh(moments.covariance.cpu()).clamp_min(0)
    shares = eigenvalues / eigenvalues.sum().clamp_min(1e-300)
    entropy = -torch.special.xlogy(shares, shares).sum()
    deviation = variance.sqrt()
    dead = (deviation <= DEAD_SHARE * deviation.max()).double().mean()
    score_spread = distances.std(correction=0) / distances.mean().clamp_min(1e-30)
    values = (float(spread), float(score_spread), float(entropy.exp()), float(dead))
    return dict(zip(MEASURES, values, strict=True))
