"""What Deep SVDD is worth without its training: a control."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from insphere.detectors.base.network_state import seed_from
from insphere.detectors.spheres.deep_svdd import DeepSVDD
from insphere.training.deep_svdd import SphereSpec, TrainedSphere, untrained_sphere
from insphere.training.device import resolve_device


class UntrainedDeepSVDD(DeepSVDD):
    """The same network with the same seed and a centre, but never trained.

    A random network already scores well, so no result of `DeepSVDD` means much without this one
    beside it. Takes the same parameters.
    """

    card = replace(
        DeepSVDD.card,
        key="untrained",
        title="Deep SVDD, untrained",
        summary="the same network without training",
        is_control=True,
        idle=("recipe", "epochs", "pretrain_epochs"),
    )

    def _train(self, X: NDArray[Any], spec: SphereSpec) -> TrainedSphere:
        return untrained_sphere(
            X,
            spec,
            seed=seed_from(self.random_state),
            device=resolve_device(self.device),
            precision=self.precision,
        )
